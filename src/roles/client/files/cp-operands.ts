import { UsageError } from "../../../cli/usage-error.ts";

/** A path here, a path in a vault, or our own standard input or output. */
export type Operand =
  | { readonly kind: "local"; readonly path: string }
  | { readonly kind: "remote"; readonly vault: string | undefined; readonly path: string }
  | { readonly kind: "standard" };

export interface CopyOperands {
  readonly direction: "upload" | "download";
  /** Undefined: the one that the environment names. */
  readonly vault: string | undefined;
  /** On their side. "-" apart, none is empty. */
  readonly sources: readonly string[];
  readonly destination: string;
  /** The side of ours is standard input or output. */
  readonly standard: boolean;
}

/** As scp has it: what has a colon before the first slash is in a vault; "./a:b" is a file here. */
export function parseOperand(word: string): Operand {
  if (word === "-") return { kind: "standard" };
  const match = /^([^/:]*):(.*)$/s.exec(word);
  if (match === null) return { kind: "local", path: word };
  const [, vault = "", path = ""] = match;
  // The home folder itself.
  const named = path === "" ? "." : path;
  return { kind: "remote", vault: vault === "" ? undefined : vault, path: named };
}

export function parseOperands(words: readonly string[]): CopyOperands {
  const operands = words.map(parseOperand);
  const destination = operands.pop();
  if (destination === undefined || operands.length === 0)
    throw new UsageError("a source and a destination are needed");
  if (words.includes("")) throw new UsageError("a path is empty");
  const sources = destination.kind === "remote" ? operands : operands.filter(isRemote);
  const direction = destination.kind === "remote" ? "upload" : "download";
  if (direction === "upload" ? operands.some(isRemote) : sources.length !== operands.length)
    throw new UsageError("one side must be in a vault (NAME:PATH), and the other here");
  const vaults = new Set([...operands, destination].filter(isRemote).map(({ vault }) => vault));
  if (vaults.size !== 1) throw new UsageError("all sources must be in one vault");
  const standard = [...operands, destination].some(({ kind }) => kind === "standard");
  if (standard && operands.length > 1)
    throw new UsageError('"-" can be the only source, or where a single file goes');
  return {
    direction,
    vault: [...vaults][0],
    sources: operands.map(pathOf),
    destination: pathOf(destination),
    standard,
  };
}

function isRemote(operand: Operand): operand is Extract<Operand, { kind: "remote" }> {
  return operand.kind === "remote";
}

function pathOf(operand: Operand): string {
  return operand.kind === "standard" ? "-" : operand.path;
}
