/* A complete candidate in C: gated_delta_rule and hgrn, forward, f32 and bf16. What it does not offer it declines.
 *
 *     cc -O2 -shared -fPIC -o example.so example.c -lm
 *     fla-conformance run --candidate ./example.so
 */
#include "candidate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *error = "";

static int32_t refuse(int32_t code, const char *why) {
  error = why;
  return code;
}

static float load(const fla_tensor *t, size_t i) {
  if (t->dtype == FLA_F32) return ((const float *)t->data)[i];
  uint32_t bits = (uint32_t)((const uint16_t *)t->data)[i] << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* bf16 is the upper half of f32, rounded to nearest, ties to even */
static void store(const fla_tensor *t, size_t i, float x) {
  if (t->dtype == FLA_F32) {
    ((float *)t->data)[i] = x;
    return;
  }
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = isnan(x) ? 0x7fc00000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  ((uint16_t *)t->data)[i] = (uint16_t)(bits >> 16);
}

static const fla_tensor *find(const fla_tensor *tensors, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
  return NULL;
}

/* the number after "name": in a flat JSON object, or a default */
static double number(const char *json, const char *name, double otherwise) {
  const char *at = strstr(json, name);
  if (!at || !(at = strchr(at, ':'))) return otherwise;
  char *end;
  double x = strtod(at + 1, &end);
  return end == at + 1 ? otherwise : x;
}

typedef struct head {
  int64_t K, V;
  float scale;
  float *h, *u; /* [K, V], [V] */
} head;

/* one token of one value head: rows qk of q and k, vo of v and o, scalar s of g and beta */
static void token(const head *x, const fla_tensor *const in[5], const fla_tensor *o, size_t qk, size_t vo, size_t s) {
  size_t K = (size_t)x->K, V = (size_t)x->V;
  float decay = expf(load(in[3], s)), beta = load(in[4], s);
  for (size_t i = 0; i < K * V; i++) x->h[i] *= decay;
  for (size_t j = 0; j < V; j++) {
    float old = 0;
    for (size_t i = 0; i < K; i++) old += load(in[1], qk + i) * x->h[i * V + j];
    x->u[j] = beta * (load(in[2], vo + j) - old);
  }
  for (size_t i = 0; i < K; i++)
    for (size_t j = 0; j < V; j++) x->h[i * V + j] += load(in[1], qk + i) * x->u[j];
  for (size_t j = 0; o && j < V; j++) {
    float sum = 0;
    for (size_t i = 0; i < K; i++) sum += load(in[0], qk + i) * x->h[i * V + j];
    store(o, vo + j, x->scale * sum);
  }
}

static int32_t gated_delta_rule(const fla_call *c) {
  static const char *const names[5] = {"q", "k", "v", "g", "beta"};
  if (strstr(c->attrs_json, "true")) return refuse(FLA_DECLINED, "only the plain recurrence, no prologue");
  const fla_tensor *in[5];
  for (int i = 0; i < 5; i++)
    if (!(in[i] = find(c->inputs, c->n_inputs, names[i]))) return refuse(1, "an input is missing");
  const fla_tensor *h0 = find(c->inputs, c->n_inputs, "h0");
  const fla_tensor *o = find(c->outputs, c->n_outputs, "o"), *ht = find(c->outputs, c->n_outputs, "ht");
  int64_t B = in[0]->shape[0], T = in[0]->shape[1], H = in[0]->shape[2], HV = in[2]->shape[2];
  head x = {in[0]->shape[3], in[2]->shape[3], 0, NULL, NULL};
  x.scale = (float)number(c->attrs_json, "\"scale\"", 1.0 / sqrt((double)x.K));
  size_t state = (size_t)(x.K * x.V);
  x.h = malloc((state + (size_t)x.V + 1) * sizeof(float));
  if (!x.h) return refuse(FLA_OUT_OF_MEMORY, "no memory for a state");
  x.u = x.h + state;
  for (int64_t b = 0; b < B; b++)
    for (int64_t hv = 0; hv < HV; hv++) {
      size_t base = (size_t)(b * HV + hv) * state;
      for (size_t i = 0; i < state; i++) x.h[i] = h0 ? load(h0, base + i) : 0.0f;
      for (int64_t t = 0; t < T; t++) {
        size_t key = (size_t)((b * T + t) * H + hv * H / HV), value = (size_t)((b * T + t) * HV + hv);
        token(&x, in, o, key * (size_t)x.K, value * (size_t)x.V, value);
      }
      for (size_t i = 0; ht && i < state; i++) store(ht, base + i, x.h[i]);
    }
  free(x.h);
  return FLA_OK;
}

static int32_t hgrn(const fla_call *c) {
  const fla_tensor *x = find(c->inputs, c->n_inputs, "x"), *g = find(c->inputs, c->n_inputs, "g");
  const fla_tensor *h0 = find(c->inputs, c->n_inputs, "h0");
  const fla_tensor *o = find(c->outputs, c->n_outputs, "o"), *ht = find(c->outputs, c->n_outputs, "ht");
  if (!x || !g) return refuse(1, "an input is missing");
  size_t B = (size_t)x->shape[0], T = (size_t)x->shape[1], D = (size_t)x->shape[2];
  for (size_t b = 0; b < B; b++)
    for (size_t d = 0; d < D; d++) {
      float h = h0 ? load(h0, b * D + d) : 0.0f;
      for (size_t t = 0; t < T; t++) {
        size_t i = (b * T + t) * D + d;
        h = expf(load(g, i)) * h + load(x, i);
        if (o) store(o, i, h);
      }
      if (ht) store(ht, b * D + d, h);
    }
  return FLA_OK;
}

int32_t fla_candidate_hello(fla_hello *hello) {
  hello->abi_version = FLA_ABI_VERSION;
  hello->name = "example.c";
  hello->version = "1";
  hello->device = "cpu";
  hello->ops = "gated_delta_rule,hgrn";
  return FLA_OK;
}

int32_t fla_candidate_call(const fla_call *call) {
  if (find(call->inputs, call->n_inputs, "cu_seqlens")) return refuse(FLA_DECLINED, "no packed sequences");
  for (size_t i = 0; i < call->n_outputs; i++)
    if (strncmp(call->outputs[i].name, "d_", 2) == 0) return refuse(FLA_DECLINED, "no gradients");
  for (size_t i = 0; i < call->n_inputs; i++)
    if (call->inputs[i].dtype != FLA_F32 && call->inputs[i].dtype != FLA_BF16)
      return refuse(FLA_DECLINED, "only f32 and bf16");
  if (strcmp(call->op, "gated_delta_rule") == 0) return gated_delta_rule(call);
  if (strcmp(call->op, "hgrn") == 0) return hgrn(call);
  return refuse(FLA_DECLINED, "only gated_delta_rule and hgrn");
}

const char *fla_candidate_last_error(void) { return error; }
