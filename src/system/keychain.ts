import { late, within } from "./within.ts";

/** The desktop's store of passwords; tests bring their own. */
export interface Keychain {
  get(account: string): Promise<string | undefined>;
  set(account: string, secret: string): Promise<void>;
  /** False where there was none. */
  remove(account: string): Promise<boolean>;
}

/** There is no keychain here, it is locked, or nobody answered its question. */
export class KeychainError extends Error {
  override readonly name = "KeychainError";
}

/** macOS Keychain, Windows Credential Manager, or libsecret on Linux, where a desktop runs one. */
export const systemKeychain: Keychain = {
  get: async (account) => (await asked(() => Bun.secrets.get(entry(account)))) ?? undefined,
  set: async (account, secret) => {
    await asked(() => Bun.secrets.set({ ...entry(account), value: secret }));
    // Some stores take a secret and lose it; one that cannot be read again is none.
    if ((await systemKeychain.get(account)) !== secret)
      throw new KeychainError("what was stored cannot be read again");
  },
  remove: async (account) => asked(() => Bun.secrets.delete(entry(account))),
};

function entry(name: string): { service: string; name: string } {
  return { service: "fly-vault", name };
}

async function asked<Value>(call: () => Promise<Value>): Promise<Value> {
  let answer: Value | typeof late;
  try {
    answer = await within(call(), answerMs);
  } catch (error) {
    throw new KeychainError(error instanceof Error ? error.message : "unknown error");
  }
  if (answer === late) throw new KeychainError(`no answer in ${answerMs / 1000} s`);
  return answer;
}

/** A person may have to unlock it. */
const answerMs = 60_000;
