import type { RemoteErrorCode } from "../../../../protocol/errors.ts";

/** Why an archive cannot be put together from what is here and what was sent. */
export class GatherRefusal extends Error {
  override readonly name = "GatherRefusal";
  readonly code: RemoteErrorCode;

  constructor(code: RemoteErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
