import type { Status } from "../../protocol/message.ts";
import type { Secrets } from "./secrets.ts";

/** Who gets as far as a handshake, for those that did. */
export function admissionStatus({
  admission,
}: Pick<Secrets, "admission">): Pick<Status, "admission" | "admission_epochs"> {
  if (admission === undefined) return { admission: "off" };
  if (admission.length === 0) return { admission: "nobody" };
  return { admission: "on", admission_epochs: admission.map(({ epoch }) => epoch) };
}
