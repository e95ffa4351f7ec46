import { type ColourWish, colourWishes } from "./colour-wish.ts";
import type { Context } from "./context.ts";
import type { JsonOutputs } from "./json-outputs.ts";

/**
 * A command is a value: what it takes, how it explains itself, and a `run`. Parsing, help, man pages
 * and completions all read the same value, so they cannot disagree.
 */
export interface Flag {
  /** Name of the value in help; a flag without one is a switch. */
  readonly value?: string;
  readonly short?: string;
  /** Every occurrence counts, in order. */
  readonly repeatable?: true;
  /** A switch that may also be said as `--no-NAME`. */
  readonly negatable?: true;
  /** The letter of that `--no-NAME`. */
  readonly negativeShort?: string;
  readonly choices?: readonly string[];
  /** Environment variable read when the flag is absent. */
  readonly env?: string;
  readonly summary: string;
  /** Parsed but not shown: old spellings, and words only we say to ourselves. */
  readonly hidden?: true;
}

export interface Positional {
  /** As shown, upper case. */
  readonly name: string;
  readonly summary?: string;
  readonly optional?: true;
  /** Takes all that are left; only for the last one. */
  readonly repeatable?: true;
}

export type Flags = Readonly<Record<string, Flag>>;
export type Positionals = Readonly<Record<string, Positional>>;

type FlagValue<F extends Flag> = F extends { repeatable: true }
  ? readonly string[]
  : F extends { value: string }
    ? string | undefined
    : F extends { negatable: true }
      ? boolean | undefined
      : boolean;

type PositionalValue<P extends Positional> = P extends { repeatable: true }
  ? readonly string[]
  : P extends { optional: true }
    ? string | undefined
    : string;

export interface GlobalOptions {
  readonly quiet: boolean;
  /** How often -v was said. */
  readonly verbose: number;
  /** Stacks and all. */
  readonly debug: boolean;
  readonly logFile?: string | undefined;
  /** Nobody is to be asked anything. */
  readonly noInput?: boolean;
  readonly colour?: ColourWish | undefined;
}

export interface Options<F extends Flags, P extends Positionals> {
  readonly flags: { readonly [K in keyof F]: FlagValue<F[K]> };
  readonly positionals: { readonly [K in keyof P]: PositionalValue<P[K]> };
  /** The words of a `passthrough` command, untouched. */
  readonly rest: readonly string[];
  readonly global: GlobalOptions;
}

export interface CommandSpec<F extends Flags, P extends Positionals> {
  /** One word, or noun and verb ("tenant create"); empty for what the program does without any. */
  readonly name: string;
  readonly summary: string;
  readonly flags?: F;
  /** In the order they are read. */
  readonly positionals?: P;
  /** After the positionals, or after `--`, nothing is looked at any more; it is somebody else's command. */
  readonly passthrough?: { readonly name: string; readonly optional?: true };
  /** Longer text between usage and flags. */
  readonly description?: string;
  readonly examples?: readonly string[];
  readonly exitStatus?: string;
  readonly seeAlso?: readonly string[];
  readonly hidden?: true;
  readonly run: (options: Options<F, P>, context: Context) => Promise<number>;
}

/** What the parser hands over: the shapes are those the declarations promise, their types are not known here. */
export interface ParsedOptions {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly positionals: Readonly<Record<string, unknown>>;
  readonly rest: readonly string[];
  readonly global: GlobalOptions;
}

export interface Command extends Omit<CommandSpec<Flags, Positionals>, "run"> {
  readonly run: (options: ParsedOptions, context: Context) => Promise<number>;
}

export interface Program {
  /** As typed: "fly-vault", "fly-vault-admin", "init". */
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Command[];
  /** Of the list of commands: under each its commands, or the first words of several. */
  readonly headings?: Readonly<Record<string, readonly string[]>>;
  /** Texts of `help TOPIC`. */
  readonly topics?: Readonly<Record<string, string>>;
  /** What `help json NAME` explains; loaded when somebody asks. */
  readonly jsonOutputs?: () => Promise<JsonOutputs>;
}

/** Keeps the types of `flags` and `positionals` for `run`, and gives them up for the table of commands. */
export function defineCommand<const F extends Flags, const P extends Positionals>(
  spec: CommandSpec<F, P>,
): Command {
  // The parser fills every declared flag and positional with the shape its declaration promises.
  return spec as unknown as Command;
}

export const globalFlags = {
  help: { short: "h", summary: "show this help" },
  version: { summary: "show the version" },
  quiet: { short: "q", summary: "only errors on stderr" },
  verbose: { short: "v", repeatable: true, summary: "say more; twice for more still" },
  "no-input": { summary: "ask nothing; what is missing is an error (FLY_VAULT_NO_INPUT, CI)" },
  color: {
    value: "WHEN",
    choices: colourWishes,
    summary: "colours on a terminal, everywhere or nowhere (default auto)",
  },
  debug: { summary: "show stacks of unexpected errors" },
  "log-file": {
    value: "FILE",
    env: "FLY_VAULT_LOG_FILE",
    summary: "add what is done to this file, as lines of JSON",
  },
} as const satisfies Flags;
