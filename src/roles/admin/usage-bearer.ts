import { createHash, timingSafeEqual } from "node:crypto";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { readSecretFile } from "./connection.ts";
import { usageLimits } from "./usage-limits.ts";

/** What callers must show. Only its hash is kept. */
export interface Bearer {
  /** Whether an `Authorization` header shows it. Takes as long whatever is wrong. */
  readonly admits: (header: string | null) => boolean;
  /** Whether it is short enough to be guessed. */
  readonly isWeak: boolean;
}

export const bearerFlags = {
  "bearer-token": {
    value: "TOKEN",
    env: "FLY_VAULT_BEARER_TOKEN",
    summary: "what callers must show; others can see it with ps, so rather the variable or a file",
  },
  "bearer-token-file": {
    value: "FILE",
    env: "FLY_VAULT_BEARER_TOKEN_FILE",
    summary: 'file holding it ("-": standard input)',
  },
} as const;

/** Undefined where none is given. */
export async function readBearer(
  flags: {
    readonly "bearer-token": string | undefined;
    readonly "bearer-token-file": string | undefined;
  },
  context: Context,
): Promise<Bearer | undefined> {
  const { "bearer-token": word, "bearer-token-file": file } = flags;
  const isSaid = word !== undefined && word !== context.env[bearerFlags["bearer-token"].env];
  if (isSaid && file !== undefined)
    throw new UsageError("--bearer-token and --bearer-token-file exclude each other");
  if (isSaid) {
    await context.stderr.write(
      "warning: others can read --bearer-token with ps; use --bearer-token-file\n",
    );
  }
  // A file is named for this run, where a variable may be set for all.
  const token = file === undefined ? word : await readSecretFile(file, context);
  if (token === undefined) return undefined;
  const max = usageLimits.bearerCharactersMax;
  if (!bearerShape.test(token) || token.length > max)
    throw new Failure("FV-CLI-001", "the bearer token cannot be used", {
      because: `it must have up to ${max} of the characters A-Z a-z 0-9 - . _ ~ + /, and = at its end`,
      fix: makeOne,
    });
  return bearerOf(token);
}

/** One that can be guessed will do among the programs of one computer, and is warned about. */
export async function checkStrength(
  bearer: Bearer,
  isLoopback: boolean,
  context: Context,
): Promise<void> {
  if (!bearer.isWeak) return;
  const words = `the bearer token has fewer than ${usageLimits.bearerCharactersMin} characters and may be guessed`;
  if (!isLoopback)
    throw new Failure("FV-CLI-001", words, {
      because: "other computers may try as many as they like",
      fix: makeOne,
    });
  await context.stderr.write(`warning: ${words}; ${makeOne}\n`);
}

export function bearerOf(token: string): Bearer {
  const expected = sha256(token);
  return {
    isWeak: token.length < usageLimits.bearerCharactersMin,
    // Compared in every case, so that no answer comes sooner than another.
    admits: (header) => {
      const shown = /^Bearer ([^\s,]+)$/iu.exec(header ?? "")?.[1];
      const equal = timingSafeEqual(sha256(shown ?? ""), expected);
      return equal && shown !== undefined;
    },
  };
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

const makeOne = "make one with: fly-vault-admin token generate";
/** What RFC 6750 lets a bearer be. */
const bearerShape = /^[\w.~+/-]+=*$/u;
