/** Names that are not copied. A pattern with a slash inside is about the path below what was named, one without about every name. */
export class Exclusion {
  readonly #rules: readonly Rule[];

  constructor(patterns: readonly string[]) {
    this.#rules = patterns.map((pattern) => {
      const foldersOnly = pattern.endsWith("/");
      const bare = pattern.replace(/\/+$/, "");
      const wholePath = bare.includes("/");
      // Below the top all paths begin with a name; a "!" would turn the pattern round.
      const glob = bare.replace(/^(\.?\/+)+/, "").replace(/^!/, "\\!");
      return { glob: new Bun.Glob(glob), foldersOnly, wholePath };
    });
  }

  /** `names` lead from below the top to what is asked about. */
  excludes(names: readonly string[], isFolder: boolean): boolean {
    if (this.#rules.length === 0) return false;
    const [name = "", path] = [names.at(-1), names.join("/")];
    return this.#rules.some(
      ({ glob, foldersOnly, wholePath }) =>
        (isFolder || !foldersOnly) && glob.match(wholePath ? path : name),
    );
  }
}

interface Rule {
  readonly glob: Bun.Glob;
  readonly foldersOnly: boolean;
  readonly wholePath: boolean;
}
