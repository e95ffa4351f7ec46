import { expect, test } from "bun:test";
import { copyFailure } from "../../../../src/roles/client/files/cp-failure.ts";
import { CopyReport } from "../../../../src/roles/client/files/cp-report.ts";
import { memoryContext } from "../../../support/memory-context.ts";

const full = ["full", "no space left on the disk"] as const;
const denied = ["denied", "permission denied"] as const;

test("of several that failed for one reason the fix is that reason's", () => {
  const failure = copyFailure(reportOf({ copied: 1, failed: { "/a": full, "/b": full } }));
  expect(failure).toMatchObject({ code: "FV-CP-001", message: "2 of 3 were not copied" });
  expect(failure.fix).toBe(
    "make room there and run it again; what is there already is not sent again",
  );
  const nothing = copyFailure(reportOf({ copied: 0, failed: { "/a": full, "/b": full } }));
  expect(nothing).toMatchObject({ code: "FV-CP-007", fix: "make room there and run it again" });
});

test("of several reasons there is no one fix", () => {
  const failure = copyFailure(reportOf({ copied: 0, failed: { "/a": full, "/b": denied } }));
  expect(failure.code).toBe("FV-CP-009");
  expect(failure.fix).toMatch(/^the same command again/);
});

test("what is wrong with the destination is said once, not for each source", () => {
  const report = reportOf({ copied: 0, failed: {} });
  for (const name of ["a", "b", "c"])
    report.failed(name, "missing", "/root/new: there is no such folder");
  const failure = copyFailure(report);
  expect(failure).toMatchObject({
    code: "FV-CP-002",
    message: "3 of 3 were not copied",
    because: "/root/new: there is no such folder",
  });
});

function reportOf({
  copied,
  failed,
}: {
  copied: number;
  failed: Readonly<Record<string, typeof full | typeof denied>>;
}): CopyReport {
  const options = { title: "copying", quiet: true, json: false, dryRun: false, resumes: true };
  const report = new CopyReport(memoryContext({}), options);
  for (let file = 0; file < copied; file++) report.settled(`/c${file}`, 1, "written", undefined);
  for (const [path, [code, words]] of Object.entries(failed))
    report.failed(path, code, `${path}: ${words}`);
  return report;
}
