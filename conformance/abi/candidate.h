/* C ABI of a conformance candidate, version 1.
 *
 * Build a shared object with these three functions and judge it with
 *     fla-conformance run --candidate ./mine.so
 * It is loaded in a child process: a crash becomes a verdict. Calls come one at a time, from one thread.
 *
 * Tensors are dense, row-major, little-endian, in host memory and 64-byte aligned. Layouts, names and meanings are the
 * specs': `fla-conformance list` prints them. q, k, v, x have the case's storage type; gates and states are f32 (f64 in
 * an f64 case).
 */
#ifndef FLA_CONFORMANCE_CANDIDATE_H
#define FLA_CONFORMANCE_CANDIDATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLA_ABI_VERSION 1

/* What fla_candidate_call returns; anything else means failed. */
#define FLA_OK 0
#define FLA_DECLINED 89
#define FLA_OUT_OF_MEMORY 12

/* Element types. */
#define FLA_F64 0
#define FLA_F32 1
#define FLA_F16 2
#define FLA_BF16 3
#define FLA_I64 4

typedef struct fla_tensor {
  const char *name; /* port: "q", "h0", "d_o" */
  int32_t dtype;    /* FLA_F64 ... FLA_I64 */
  int32_t rank;
  const int64_t *shape; /* rank extents, slowest first; an extent may be 0 */
  void *data;           /* never null */
} fla_tensor;

typedef struct fla_call {
  const char *op;         /* spec name: "gated_delta_rule" */
  const char *attrs_json; /* a JSON object; an attribute that is missing has its default */
  /* Inputs by port name, indices as I64, "cu_seqlens" (I64, N + 1 offsets) among them when sequences are packed. An
   * optional input that is not here stands for zeros. Read only: writing into one is a fault. */
  const fla_tensor *inputs;
  size_t n_inputs;
  /* Cotangents "d_<output>"; a missing one stands for zeros. None when no gradient is wanted. Read only. */
  const fla_tensor *cotangents;
  size_t n_cotangents;
  /* Outputs "o", "ht" and gradients "d_<input>" that are wanted, allocated by the caller, filled with NaN (or a huge
   * value) and fenced by guard bytes. o has the storage type, ht is f32 (f64), a gradient has its input's type. */
  const fla_tensor *outputs;
  size_t n_outputs;
} fla_call;

typedef struct fla_hello {
  int32_t abi_version; /* FLA_ABI_VERSION */
  const char *name;
  const char *version;
  const char *device; /* what it runs on: "cpu" */
  const char *ops;    /* comma-separated spec names */
} fla_hello;

/* Fills in who the candidate is; the strings live as long as the library. Returns 0, or something else when the
 * candidate cannot run here. */
int32_t fla_candidate_hello(fla_hello *hello);

/* Computes every output. Returns FLA_OK, FLA_DECLINED when it does not offer this, or an error. */
int32_t fla_candidate_call(const fla_call *call);

/* Why the last function did not return 0: a sentence that lives until the next call. Never null. */
const char *fla_candidate_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
