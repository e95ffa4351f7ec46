import { deriveAdmissionKey, formatAdmissionKey } from "../../quic/admission-key.ts";
import type { ProxyMaster } from "../../quic/proxy-master.ts";

/** The variable of a machine's configuration that has its admission keys. */
export const admissionKeyVariable = "VAULT_ADMISSION_KEY";

/** The machine's keys of these masters, in their order, with commas: what `VAULT_ADMISSION_KEY` takes. */
export function admissionKeysText(masters: readonly ProxyMaster[], machineId: string): string {
  const keys = masters.map(({ epoch, master }) => deriveAdmissionKey(master, epoch, machineId));
  return keys.map(formatAdmissionKey).join(",");
}
