import { quicLimits } from "./limits.ts";

/** What a proxy makes the admission keys of all machines from; one an epoch. */
export interface ProxyMaster {
  /** 0 to 7. */
  readonly epoch: number;
  /** 32 bytes. */
  readonly master: Uint8Array;
}

/** No secret: what a proxy with --open, its machines and their clients make their keys from. */
export const openMaster: ProxyMaster = { epoch: 7, master: new Uint8Array(32) };

/** Its message never shows the text. */
export class ProxyMasterError extends Error {
  override readonly name = "ProxyMasterError";
}

/** `fvp1_EPOCH_MASTER`, the master in base64url. */
export function formatProxyMaster({ epoch, master }: ProxyMaster): string {
  return `fvp1_${epoch}_${Buffer.from(master).toString("base64url")}`;
}

/**
 * One master, or two of different epochs while they change, with a comma or on lines of their own; the
 * first is the one to make keys with. Throws `ProxyMasterError`.
 */
export function parseProxyMasters(text: string): readonly [ProxyMaster, ...ProxyMaster[]] {
  const words = text.trim().split(/[\s,]+/u, quicLimits.admissionKeysMax + 1);
  const [first, ...others] = words.map(parseMaster);
  if (first === undefined || others.length >= quicLimits.admissionKeysMax)
    throw new ProxyMasterError(`there are more than ${quicLimits.admissionKeysMax} masters`);
  if (others.some((other) => other.epoch === first.epoch))
    throw new ProxyMasterError("two masters are of one epoch");
  return [first, ...others];
}

function parseMaster(text: string): ProxyMaster {
  const match = /^fvp1_([0-7])_([\w-]{43})$/.exec(text);
  if (match === null)
    throw new ProxyMasterError(
      "it is not fvp1_EPOCH_MASTER: a digit up to 7, 43 characters of base64url",
    );
  const [, epoch = "", encoded = ""] = match;
  const master = Buffer.from(encoded, "base64url");
  // Two bits of the last character say nothing; others than zeros are a slip.
  if (master.toString("base64url") !== encoded)
    throw new ProxyMasterError("its last character is mistyped");
  return { epoch: Number(epoch), master: new Uint8Array(master) };
}
