import ssh2 from "ssh2";
import { createPrivateFile, readPrivateFile } from "../../../system/private-file.ts";
import { sshLimits } from "./limits.ts";

export interface HostKey {
  /** In OpenSSH's own format. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`. */
  readonly publicKey: string;
}

/** The machine's own key, made the first time. It lies on the volume, outside of what the guest sees. */
export async function hostKeyAt(path: string): Promise<HostKey> {
  const bytes = await readPrivateFile(path, sshLimits.hostKeyBytesMax);
  if (bytes === undefined) {
    await createPrivateFile(path, new TextEncoder().encode(newKey()));
    return hostKeyAt(path);
  }
  const privateKey = new TextDecoder().decode(bytes);
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) throw new Error(`${path} is no key: ${parsed.message}`);
  const publicKey = `${parsed.type} ${parsed.getPublicSSH().toString("base64")}`;
  return { privateKey, publicKey };
}

/** Of one key in 256, whose public half begins with a zero, the library cuts that off and cannot read it again. */
function newKey(): string {
  for (;;) {
    const { private: made } = ssh2.utils.generateKeyPairSync("ed25519");
    if (!(ssh2.utils.parseKey(made) instanceof Error)) return made;
  }
}
