import { machineGate } from "../../quic/admission-gate.ts";
import type { DatagramGate } from "../../quic/carrier.ts";
import { type ConnectionIds, directConnectionIds } from "../../quic/connection-id.ts";
import { routedConnectionIds } from "../../quic/routed-id.ts";
import type { LinkKeys } from "./link-plan.ts";

/** Who may start a handshake, and by which ids it is found: the same for all endpoints of a link. */
export interface LinkAdmission {
  readonly options: { readonly connectionIds: ConnectionIds; readonly gate?: DatagramGate };
  /** For the log. */
  readonly summary: string;
}

export function linkAdmission(
  { admission, connectionIds: secret }: LinkKeys,
  wallMs: () => number,
): LinkAdmission {
  if (admission === undefined)
    return { options: { connectionIds: directConnectionIds(secret) }, summary: "off" };
  const gate = machineGate(admission, wallMs);
  const [current, ...others] = admission;
  if (current === undefined)
    return { options: { connectionIds: directConnectionIds(secret), gate }, summary: "nobody" };
  const epochs = admission.map((key) => key.epoch).join(" and ");
  return {
    options: { connectionIds: routedConnectionIds([current, ...others], secret), gate },
    summary: `on, epoch ${epochs}`,
  };
}
