import { Failure } from "../../../cli/failure.ts";
import type { FailureCode } from "../../../cli/failure-codes.ts";

/** A login that did not succeed, as a person sees it, and whether trying again makes sense. */
export class LoginFailure extends Failure {
  /** Never where somebody may be in between: trying again is what such a person hopes for. */
  readonly retryable: boolean;
  /** What the machine asked for, where it did. */
  readonly retryAfterMs: number | undefined;

  constructor(code: FailureCode, message: string, details: LoginFailureDetails = {}) {
    super(code, message, details);
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export interface LoginFailureDetails {
  readonly because?: string;
  readonly fix?: string;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
}
