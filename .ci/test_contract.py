"""A contract that nothing can break is none: planted changes must be found."""

import tempfile
import unittest
from copy import deepcopy
from pathlib import Path

import contract
from compile_kernels import Resources, due, entry, text_of

AGREED = {
    "compilers": {"NVRTC": "13.0"},
    "kernels": {"Gla_bf16 sm_90a": {"registers": 128, "spills": 0, "shared": 98304}},
    "plans": {"cuda gla(B=1) forward": {"launches": 1, "workspace_bytes": 544}},
}


class Contract(unittest.TestCase):
    def found(self, section, what, change):
        """What is said when one number of the section's only entry changes."""
        found = deepcopy(AGREED[section])
        next(iter(found.values()))[what] += change
        return contract.differences(AGREED, found, section, found.keys())

    def test_what_is_agreed_passes(self):
        for section in contract.SECTIONS:
            same = deepcopy(AGREED[section])
            self.assertEqual(contract.differences(AGREED, same, section, same.keys()), [])

    def test_every_planted_increase_fails_and_is_named(self):
        for section in contract.SECTIONS:
            for what, agreed in next(iter(AGREED[section].values())).items():
                (sentence,) = self.found(section, what, 1)
                self.assertIn(f"{what} rose from {agreed} to {agreed + 1}", sentence)

    def test_products_that_begin_to_wait_fail_and_those_that_do_not_are_unsaid(self):
        kernel = next(iter(AGREED["kernels"]))
        for serialized in (False, True):
            found = {kernel: Resources(128, 0, 98304, serialized).numbers()}
            sentences = contract.differences(AGREED, found, "kernels", found.keys())
            self.assertEqual(sentences, [f"{kernel}: serialized is 1, the contract says None"] if serialized else [])

    def test_a_decrease_asks_for_a_tighter_contract(self):
        (sentence,) = self.found("kernels", "registers", -8)
        self.assertIn("registers fell from 128 to 120: tighten", sentence)

    def test_what_comes_and_what_goes_is_found(self):
        known = AGREED["plans"]
        more = known | {"cuda kda(B=1) forward": {"launches": 1, "workspace_bytes": 0}}
        self.assertIn("does not know", contract.differences(AGREED, more, "plans", more.keys())[0])
        self.assertIn("there is no more", contract.differences(AGREED, {}, "plans", set())[0])
        self.assertEqual(contract.differences(AGREED, {}, "plans", None), [], "a part says nothing of the rest")

    def test_a_number_that_is_missing_is_a_difference(self):
        found = {"Gla_bf16 sm_90a": {"registers": 128, "spills": 0}}
        self.assertIn("shared is None", contract.differences(AGREED, found, "kernels", found.keys())[0])

    def test_a_compiler_of_two_minds_counts_by_what_it_can_give(self):
        (agreed,) = AGREED["kernels"].values()
        more, less = agreed | {"registers": 131}, agreed | {"registers": 127}
        self.assertEqual(contract.settled(agreed, [more, more, agreed]), agreed)
        self.assertEqual(contract.settled(agreed, [more, less, more]), more, "no attempt gave the contract's")
        self.assertEqual(contract.settled(None, [more, less, more]), more)

    def test_what_stands_elsewhere_in_the_contract_is_not_gone(self):
        """Of all kernels a part was compiled: the rest keeps its entries and is not missed."""
        agreed = {"kernels": {name: {"registers": 8} for name in ("A sm_90a", "B sm_90a", "C sm_90a")}}
        found, names = {"A sm_90a": {"registers": 8}}, {"A sm_90a", "B sm_90a"}
        (sentence,) = contract.differences(agreed, found, "kernels", names)
        self.assertIn("C sm_90a: a kernel of the contract that there is no more", sentence)
        contract.update(agreed, found, "kernels", names)
        self.assertEqual(agreed["kernels"].keys(), names)

    def test_another_text_with_the_same_numbers_keeps_the_contract(self):
        found = {name: numbers | {contract.TEXT: "another"} for name, numbers in AGREED["kernels"].items()}
        self.assertEqual(contract.differences(AGREED, found, "kernels", found.keys()), [])

    def test_what_changed_is_compiled_each_day_and_all_else_once_in_some(self):
        with tempfile.TemporaryDirectory() as folder:
            jobs = [(Path(folder) / f"Kernel{n}.cu", arch) for n in range(5) for arch in ("sm_80", "sm_90a")]
            for unit, _ in jobs:
                unit.write_text(unit.name)
            agreed = {entry(job): {"registers": 8, contract.TEXT: text_of(job)} for job in jobs}
            days = [due(jobs, agreed, 4, day) for day in range(4)]
            self.assertEqual(sorted(job for day in days for job in day), sorted(jobs))
            jobs[3][0].write_text("changed")
            changed = [job for job in jobs if job[0] == jobs[3][0]]
            del agreed[entry(jobs[9])]
            for day in range(4):
                self.assertLessEqual({*changed, jobs[9]}, {*due(jobs, agreed, 4, day)})
            self.assertEqual(due(jobs, agreed, 1, 7), jobs)

    def test_another_compiler_is_named(self):
        self.assertEqual(contract.compilers(AGREED, {"NVRTC": "13.0", "clang": "19"}), [])
        self.assertIn("made with NVRTC 13.0, and this is 13.1", contract.compilers(AGREED, {"NVRTC": "13.1"})[0])

    def test_an_update_is_what_passes_next(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "contract.json"
            agreed, found = deepcopy(AGREED), {"Kda_bf16 sm_90a": {"registers": 1, "spills": 0, "shared": 0}}
            contract.update(agreed, found, "kernels", None)
            self.assertEqual(len(agreed["kernels"]), 2)
            contract.update(agreed, found, "kernels", found.keys())
            contract.save(path, agreed)
            self.assertEqual(contract.load(path), agreed)
            self.assertEqual(contract.differences(contract.load(path), found, "kernels", found.keys()), [])


if __name__ == "__main__":
    unittest.main()
