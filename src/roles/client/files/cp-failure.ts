import { Failure } from "../../../cli/failure.ts";
import type { FailureCode } from "../../../cli/failure-codes.ts";
import type { FileTrouble } from "../../../protocol/file-message.ts";
import type { CopyReport } from "./cp-report.ts";

/** Of one file its own; of several, or where others were copied, how many, and the first ones. */
export function copyFailure(report: CopyReport): Failure {
  const { troubles, troubleCount, copiedCount } = report;
  const [first] = troubles;
  if (first === undefined) return new Failure("FV-CP-009", "nothing was copied");
  if (troubleCount === 1 && copiedCount === 0) {
    const { code, fix } = kinds[first.code];
    return new Failure(code, first.message, fix === undefined ? {} : { fix });
  }
  const more = troubleCount > troubles.length ? `; and ${troubleCount - troubles.length} more` : "";
  const causes = new Set(troubles.map(({ message }) => message));
  const code =
    copiedCount > 0 ? "FV-CP-001" : commonCode(troubles.map((one) => kinds[one.code].code));
  return new Failure(code, `${troubleCount} of ${troubleCount + copiedCount} were not copied`, {
    because: `${[...causes].join("; ")}${causes.size === 1 ? "" : more}`,
    fix:
      commonFix(report) ??
      "the same command again copies what is missing, and goes on where it stopped",
  });
}

/** Where all have the same reason. */
function commonFix({ troubles, copiedCount }: CopyReport): string | undefined {
  const [code, ...others] = new Set(troubles.map((one) => one.code));
  const fix = code === undefined || others.length > 0 ? undefined : kinds[code].fix;
  if (fix === undefined || copiedCount === 0) return fix;
  return `${fix}; what is there already is not sent again`;
}

function commonCode(codes: readonly FailureCode[]): FailureCode {
  const [first = "FV-CP-009"] = codes;
  return codes.every((code) => code === first) ? first : "FV-CP-009";
}

const kinds: Readonly<Record<FileTrouble, { readonly code: FailureCode; readonly fix?: string }>> =
  {
    missing: {
      code: "FV-CP-002",
      fix: "check the path: in a vault it begins at the home folder unless it begins with /",
    },
    denied: {
      code: "FV-CP-003",
      fix: "look at its owner and mode, or say who you are with --user",
    },
    "is-folder": { code: "FV-CP-004", fix: "-r copies folders" },
    "not-folder": { code: "FV-CP-004", fix: "name a folder, or leave the slash at the end away" },
    "in-the-way": {
      code: "FV-CP-004",
      fix: "name another destination, or move what is there out of the way",
    },
    special: { code: "FV-CP-005", fix: "leave it out with --exclude" },
    changed: { code: "FV-CP-006", fix: "run it again when nobody writes to the file" },
    corrupt: { code: "FV-CP-006", fix: "run it again" },
    full: {
      code: "FV-CP-007",
      fix: "make room there and run it again",
    },
    busy: { code: "FV-CP-008", fix: "wait for the other copy, or stop it" },
    refused: { code: "FV-CP-009" },
    "read-only": { code: "FV-CP-003", fix: "choose another destination" },
    "too-many": { code: "FV-CP-009" },
    io: { code: "FV-CP-009", fix: "look at the log of the side whose path it is" },
  };
