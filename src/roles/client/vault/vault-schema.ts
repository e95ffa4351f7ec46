import * as v from "valibot";
import { checkIssuer, IssuerError } from "../../../fly/issuer.ts";
import {
  type AdmissionKey,
  AdmissionKeyError,
  parseAdmissionKeys,
} from "../../../quic/admission-key.ts";
import { parseDuration } from "../../../cli/duration.ts";
import { parseAddress } from "./address.ts";
import { clientLimits } from "../limits.ts";
import { terminfoWishes } from "../session/surroundings.ts";
import { autoForwardWishes, parsePortPattern } from "../forward/auto-forward-rules.ts";
import { type ForwardKind, forwardMistake } from "../forward/forward-spec.ts";
import { parseWebAddress, transportWishes } from "../dial/transport.ts";

/** `[vault.NAME]`. Messages follow the key's name: `"org" must be …`. */

const notText = "must be a string in quotes";

const address = v.pipe(
  v.string(notText),
  v.check(
    (text) => parseAddress(text) !== undefined,
    'must be "host:port", with IPv6 in brackets: "[fdaa::3]:8443"',
  ),
);

const slug = v.pipe(
  v.string(notText),
  v.regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    "must be 1 to 63 lower-case letters, digits and hyphens",
  ),
);

const issuer = v.pipe(
  v.string(notText),
  v.check(
    isIssuer,
    "must be an https URL without a slash at its end (plain http only on this computer)",
  ),
);

const rootfsUrl = v.pipe(
  v.string(notText),
  v.check(isRootfsUrl, "must be an http or https URL without a password in it"),
);

const token = v.union(
  [
    v.strictObject({ keychain: v.literal(true) }),
    v.strictObject({ file: v.string() }),
    v.strictObject({ command: v.array(v.string()) }),
  ],
  'must be { keychain = true }, { file = "PATH" } or { command = ["WORD", …] }',
);

const machineId = v.pipe(
  v.string(notText),
  v.regex(/^[0-9a-f]{14}$/, "must be 14 hexadecimal digits (fly machine list)"),
);

const digestList = 'has image_digests that are not a list of "sha256:" and 64 hexadecimal digits';
const versionText = 'has a min_init_version that is not "1.2.3"';

/** What the machine must be beyond org, app and machine_id. */
const attest = v.strictObject(
  {
    machine: v.optional(machineId),
    image_digests: v.optional(
      v.pipe(
        v.array(
          v.pipe(v.string(digestList), v.regex(/^sha256:[0-9a-f]{64}$/, digestList)),
          digestList,
        ),
        v.nonEmpty(digestList),
      ),
    ),
    min_init_version: v.optional(
      v.pipe(v.string(versionText), v.regex(/^\d{1,6}(?:\.\d{1,6}){0,2}$/, versionText)),
    ),
    pin_image: v.optional(v.boolean("has a pin_image that is not true or false")),
  },
  "must be a table of machine, image_digests, min_init_version and pin_image",
);

const admissionKey = v.pipe(
  v.string(notText),
  v.check(
    (text) => readAdmissionKey(text) !== undefined,
    'must be the one the machine has, as it was given to you: "fva1_EPOCH_MACHINE_KEY"',
  ),
);

const webAddress = v.pipe(
  v.string(notText),
  v.check(
    (text) => parseWebAddress(text) !== undefined,
    'must be "wss://HOST[:PORT]/v1/datagrams" (ws only on this computer)',
  ),
);

const linkIdle = v.pipe(
  v.string(notText),
  v.check(
    (text) => (parseDuration(text) ?? Number.POSITIVE_INFINITY) <= clientLimits.linkIdleMsMax,
    'must be a duration up to "24h" ("0s": no background link)',
  ),
);
function forwardList(kind: ForwardKind) {
  const example = kind === "D" ? '["1080"]' : '["8080:localhost:8080"]';
  return v.optional(
    v.array(
      v.pipe(
        v.string("must be a list of strings in quotes"),
        v.rawCheck(({ dataset, addIssue }) => {
          if (!dataset.typed) return;
          const wrong = forwardMistake(kind, dataset.value);
          if (wrong !== undefined) addIssue({ message: `has "${dataset.value}", which ${wrong}` });
        }),
      ),
      `must be a list: ${example}`,
    ),
    [],
  );
}

const autoForwardPorts = 'must be a list of ports: ["5173", "3000-3999", "!9229"]';

const vaultKeys = v.object({
  address,
  org: slug,
  app: slug,
  machine_id: v.optional(machineId),
  attest: v.optional(attest),
  issuer: v.optional(issuer),
  access_token: v.optional(v.string(notText)),
  token: v.optional(token),
  admission_key: v.optional(admissionKey),
  transport: v.optional(v.picklist(transportWishes, 'must be "auto", "quic" or "tcp"')),
  web_address: v.optional(webAddress),
  link_idle: v.optional(linkIdle),
  terminfo: v.optional(v.picklist(terminfoWishes, 'must be "push", "fallback" or "off"')),
  forward: forwardList("L"),
  reverse_forward: forwardList("R"),
  dynamic_forward: forwardList("D"),
  auto_forward: v.optional(v.picklist(autoForwardWishes, 'must be "on", "notify" or "off"')),
  auto_forward_ports: v.optional(
    v.array(
      v.pipe(
        v.string(autoForwardPorts),
        v.check((text) => parsePortPattern(text) !== undefined, autoForwardPorts),
      ),
      autoForwardPorts,
    ),
  ),
  rootfs: v.optional(v.pipe(v.string(notText), v.nonEmpty("must not be empty"))),
  rootfs_url: v.optional(rootfsUrl),
  rootfs_sha256: v.optional(
    v.pipe(
      v.string(notText),
      v.regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hexadecimal digits"),
    ),
  ),
});

export const vaultSchema = v.pipe(
  vaultKeys,
  v.forward(
    v.check(
      ({ machine_id, admission_key }) =>
        machine_id === undefined ||
        admission_key === undefined ||
        readAdmissionKey(admission_key)?.machineId === machine_id,
      'is of another machine than "machine_id" says',
    ),
    ["admission_key"],
  ),
  v.forward(
    v.check(
      ({ machine_id, attest: policy }) =>
        machine_id === undefined || policy?.machine === undefined || policy.machine === machine_id,
      'names another machine than "machine_id"',
    ),
    ["attest"],
  ),
);

export type VaultTable = Readonly<v.InferOutput<typeof vaultSchema>>;

/** Of several, the one to use. */
export function readAdmissionKey(text: string): AdmissionKey | undefined {
  try {
    return parseAdmissionKeys(text)[0];
  } catch (error) {
    if (error instanceof AdmissionKeyError) return undefined;
    throw error;
  }
}

function isIssuer(text: string): boolean {
  try {
    checkIssuer(text);
    return true;
  } catch (error) {
    if (error instanceof IssuerError) return false;
    throw error;
  }
}

/** https, or http for an archive whose digest is given; a password in it would end up in logs. */
export function isRootfsUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return false;
  return url.protocol === "https:" || url.protocol === "http:";
}
