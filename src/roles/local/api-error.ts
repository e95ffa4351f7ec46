/** An answer that is not a success, thrown by whatever finds the reason and sent by the listener. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** Fly's machine-readable word, which only some errors carry. */
  readonly reason: string | undefined;

  constructor(status: number, message: string, reason?: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** Conflicts over a lease have another shape than all other errors. */
  body(): Record<string, unknown> {
    if (this.reason === "lease") return { status: "error", message: this.message };
    return this.reason === undefined
      ? { error: this.message }
      : { error: this.message, status: this.reason };
  }
}
