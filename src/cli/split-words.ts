import type { Command, Flag, Flags } from "./command.ts";
import { didYouMean } from "./nearest.ts";
import { UsageError } from "./usage-error.ts";

/** See `SplitWords.singles`. */
export const singlePrefix = "flag-";

export interface SplitWords {
  /**
   * Flags that count once, as `--flag-NAME`, `--no-flag-NAME` or `--flag-NAME=value`: the shape citty
   * reads safely. Without the prefix it would take a flag whose own name begins with "no-" apart.
   */
  readonly singles: string[];
  readonly repeated: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
  /** What belongs to somebody else's command line. */
  readonly rest: readonly string[];
}

/** Strict: an unknown flag, a missing value or a wrong choice throws `UsageError`. */
export function splitWords(command: Command, flags: Flags, words: readonly string[]): SplitWords {
  return new WordSplitter(command, flags, words).split();
}

class WordSplitter {
  readonly #command: Command;
  readonly #flags: Flags;
  readonly #words: readonly string[];
  #next = 0;
  #singles: { readonly name: string; readonly word: string }[] = [];
  readonly #repeated = new Map<string, string[]>();
  readonly #positionals: string[] = [];

  constructor(command: Command, flags: Flags, words: readonly string[]) {
    this.#command = command;
    this.#flags = flags;
    this.#words = words;
  }

  split(): SplitWords {
    const passthrough = this.#command.passthrough !== undefined;
    const wanted = Object.keys(this.#command.positionals ?? {}).length;
    for (;;) {
      const word = this.#words[this.#next];
      if (word === undefined) return this.#done([]);
      if (word === "--") {
        const after = this.#words.slice(this.#next + 1);
        if (passthrough) return this.#done(after);
        this.#positionals.push(...after);
        return this.#done([]);
      }
      const plain = word === "-" || !word.startsWith("-");
      if (plain && passthrough && this.#positionals.length === wanted)
        return this.#done(this.#words.slice(this.#next));
      this.#next += 1;
      if (plain) this.#positionals.push(word);
      else if (word.startsWith("--")) this.#takeLong(word);
      else this.#takeShorts(word.slice(1));
    }
  }

  #done(rest: readonly string[]): SplitWords {
    return {
      singles: this.#singles.map(({ word }) => word),
      repeated: this.#repeated,
      positionals: this.#positionals,
      rest,
    };
  }

  /** `--name`, `--no-name`, `--name=value`, `--name value` */
  #takeLong(word: string): void {
    const equals = word.indexOf("=");
    const name = equals === -1 ? word.slice(2) : word.slice(2, equals);
    const inline = equals === -1 ? undefined : word.slice(equals + 1);
    const flag = this.#flag(name);
    const negated = flag === undefined ? this.#negatedName(name) : undefined;
    if (flag === undefined && negated === undefined) throw this.#unknown(`--${name}`);
    if (flag?.value !== undefined) {
      this.#keep(name, this.#value(`--${name}`, flag, inline));
      return;
    }
    if (inline !== undefined) throw new UsageError(`--${name} takes no value`);
    if (negated === undefined) this.#keep(name, undefined);
    else this.#keepSingle(negated, `--no-${singlePrefix}${negated}`);
  }

  /** `-t`, `-tT`, `-L value`, `-Lvalue`, `-L=value` */
  #takeShorts(letters: string): void {
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] ?? "";
      const flags = Object.entries(this.#flags);
      const negative = flags.find(([, flag]) => flag.negativeShort === letter);
      if (negative !== undefined) {
        this.#keepSingle(negative[0], `--no-${singlePrefix}${negative[0]}`);
        continue;
      }
      const found = flags.find(([, flag]) => flag.short === letter);
      if (found === undefined) throw this.#unknown(`-${letter}`);
      const [name, flag] = found;
      if (flag.value !== undefined) {
        const attached = letters.slice(at + 1).replace(/^=/, "");
        this.#keep(name, this.#value(`-${letter}`, flag, attached === "" ? undefined : attached));
        return;
      }
      this.#keep(name, undefined);
    }
  }

  #value(said: string, flag: Flag, inline: string | undefined): string {
    const value = inline ?? this.#words[this.#next];
    if (value === undefined) throw new UsageError(`${said} needs a value: ${said} ${flag.value}`);
    if (inline === undefined) this.#next += 1;
    return checkChoice(said, flag, value);
  }

  #keep(name: string, value: string | undefined): void {
    if (this.#flag(name)?.repeatable === true)
      this.#repeated.set(name, [...(this.#repeated.get(name) ?? []), value ?? ""]);
    else {
      const word = `--${singlePrefix}${name}`;
      this.#keepSingle(name, value === undefined ? word : `${word}=${value}`);
    }
  }

  /** The last one said wins. */
  #keepSingle(name: string, word: string): void {
    this.#singles = [...this.#singles.filter((kept) => kept.name !== name), { name, word }];
  }

  #flag(name: string): Flag | undefined {
    return Object.hasOwn(this.#flags, name) ? this.#flags[name] : undefined;
  }

  #negatedName(name: string): string | undefined {
    if (!name.startsWith("no-")) return undefined;
    const positive = name.slice(3);
    return this.#flag(positive)?.negatable === true ? positive : undefined;
  }

  #unknown(said: string): UsageError {
    const shown = Object.entries(this.#flags).filter(([, flag]) => flag.hidden !== true);
    const names = shown.flatMap(([name, flag]) =>
      flag.negatable === true ? [name, `no-${name}`] : [name],
    );
    const hint = didYouMean(said.replace(/^--?/, ""), names, "--");
    const where = this.#command.name === "" ? "" : ` for "${this.#command.name}"`;
    return new UsageError(`unknown flag ${said}${where}${hint}`);
  }
}

/** Shared with values from the environment. */
export function checkChoice(said: string, flag: Flag, value: string): string {
  if (flag.choices === undefined || flag.choices.includes(value)) return value;
  throw new UsageError(`${said} must be one of ${flag.choices.join(", ")}, not "${value}"`);
}
