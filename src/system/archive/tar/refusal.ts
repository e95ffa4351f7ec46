/** Why an archive is refused, decided at the first doubt. Stable names: tests and docs speak of them. */
export type TarReason =
  | "E_AFTER_EOF"
  | "E_CHECKSUM"
  | "E_DUPLICATE"
  | "E_EMPTY"
  | "E_FORMAT"
  | "E_ID"
  | "E_LAYER_TAR"
  | "E_LAYOUT"
  | "E_LIMIT_BYTES"
  | "E_LIMIT_DIRECTORIES"
  | "E_LIMIT_ENTRIES"
  | "E_LIMIT_LINKS"
  | "E_LINK_EMPTY"
  | "E_LINK_LONG"
  | "E_LINK_TARGET"
  | "E_META_MIX"
  | "E_META_ORPHAN"
  | "E_META_REPEAT"
  | "E_META_SIZE"
  | "E_NUMBER"
  | "E_PARENT_NOT_DIRECTORY"
  | "E_PARENT_SYMLINK"
  | "E_PATH_DEPTH"
  | "E_PATH_DOTDOT"
  | "E_PATH_EMPTY"
  | "E_PATH_LONG"
  | "E_PAX_GLOBAL"
  | "E_PAX_NUL"
  | "E_PAX_SIZE"
  | "E_PAX_SYNTAX"
  | "E_RESERVED"
  | "E_SIZE"
  | "E_SIZE_ON_DIR"
  | "E_SIZE_ON_LINK"
  | "E_SPARSE"
  | "E_TRUNCATED"
  | "E_TYPE"
  | "E_XATTR";

export class TarRefusal extends Error {
  override readonly name = "TarRefusal";
  readonly reason: TarReason;
  /** The entry it is about, printable, or undefined where the archive as a whole is meant. */
  entry: string | undefined;

  constructor(reason: TarReason, message: string, entry?: string) {
    super(message);
    this.reason = reason;
    this.entry = entry;
  }
}
