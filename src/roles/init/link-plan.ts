import * as v from "valibot";

/** What the keeper tells its link on the command line. The keys come on descriptor 3. */
export const linkPlanSchema = v.object({
  listen: v.optional(v.union([v.string(), v.undefined()])),
  keeperPid: v.number(),
  keeperSocket: v.string(),
  apiSocket: v.string(),
  runDir: v.string(),
  app: v.string(),
  machineId: v.string(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});
export type LinkPlan = v.InferOutput<typeof linkPlanSchema>;

/** Through a pipe: neither arguments nor environment of a process are private. */
export interface LinkKeys {
  /** Undefined: logins are refused. */
  readonly login: Uint8Array | undefined;
  /**
   * The same for every link of one keeper, so that the next one can tell the clients of the last that
   * it does not know them. Random, and not made from the token: strangers see what it makes.
   */
  readonly connectionIds: Uint8Array;
}

export const linkKeyFd = 3;
const keyBytes = 32;

export function encodeLinkKeys({ connectionIds, login }: LinkKeys): Uint8Array {
  return Buffer.concat(login === undefined ? [connectionIds] : [connectionIds, login]);
}

export function decodeLinkKeys(bytes: Uint8Array): LinkKeys {
  if (bytes.length !== keyBytes && bytes.length !== 2 * keyBytes)
    throw new RangeError(`${bytes.length} bytes are no keys of a link`);
  const login = bytes.length > keyBytes ? bytes.slice(keyBytes) : undefined;
  return { connectionIds: bytes.slice(0, keyBytes), login };
}
