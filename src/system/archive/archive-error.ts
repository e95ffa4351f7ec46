/** Not a format we read, or not in a way we can afford. */
export class ArchiveFormat extends Error {
  override readonly name = "ArchiveFormat";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** The compressed bytes are cut short, damaged, or followed by something else. */
export class ArchiveCorrupt extends Error {
  override readonly name = "ArchiveCorrupt";
}
