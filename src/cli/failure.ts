import type { FailureCode } from "./failure-codes.ts";
import { failureCodes } from "./failure-codes.ts";
import { jsonText } from "./json-document.ts";
import { printable } from "./printable.ts";

/** For people who watch: which steps passed, and which did not. */
export interface Checklist {
  readonly steps: readonly { readonly passed: boolean; readonly text: string }[];
  /** The command that looks closer. */
  readonly next: string;
}

/**
 * What a person sees when something did not work. Every other error class is turned into one of
 * these where a command knows what the user wanted; what is left over is a bug and says so.
 */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  /** What we know, with numbers. */
  readonly because: string | undefined;
  /** At most two commands or facts. */
  readonly fix: string | undefined;
  /** How far it came, where there are steps. */
  readonly checklist: Checklist | undefined;

  constructor(
    code: FailureCode,
    message: string,
    details: { because?: string; fix?: string; checklist?: Checklist } = {},
  ) {
    super(message);
    this.code = code;
    this.because = details.because;
    this.fix = details.fix;
    this.checklist = details.checklist;
  }

  get exitCode(): number {
    return failureCodes[this.code].exitCode;
  }
}

/** The lines of docs/cli.md, "Errors". Control characters of quoted server text are dropped. */
export function renderFailure(failure: Failure): string {
  const lines = [`error: ${printable(failure.message)}`];
  if (failure.because !== undefined) lines.push(`  cause: ${printable(failure.because)}`);
  if (failure.fix !== undefined) lines.push(`  fix:   ${printable(failure.fix)}`);
  lines.push(`  code:  ${failure.code} · fly-vault explain ${failure.code}`);
  return `${lines.join("\n")}\n`;
}

/** The same for programs: one line. */
export function renderFailureJson(failure: Failure): string {
  return `${jsonText({ error: failureFields(failure) })}\n`;
}

export interface FailureFields {
  readonly code: FailureCode;
  readonly message: string;
  readonly cause: string | null;
  readonly fix: string | null;
  readonly exit: number;
}

export function failureFields(failure: Failure): FailureFields {
  return {
    code: failure.code,
    message: failure.message,
    cause: failure.because ?? null,
    fix: failure.fix ?? null,
    exit: failure.exitCode,
  };
}
