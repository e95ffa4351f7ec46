import { printable } from "../../../cli/printable.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import type { Status } from "../../../protocol/message.ts";

/**
 * What was proven, in words. Everything in it was signed by the issuer, but only org, app and machine
 * were compared; nothing in it may move a terminal's cursor.
 */
export function attestedLine(machine: AttestedMachine, org: string): string {
  const { issuer, appName, machineId, region, image, imageDigest } = machine;
  const facts = [`org ${org}`, `app ${appName}`, `machine ${machineId}`];
  if (region !== undefined) facts.push(`region ${region}`);
  const digest = imageDigest === undefined ? "" : `@${imageDigest}`;
  if (image !== undefined || digest !== "") facts.push(`image ${image ?? ""}${digest}`);
  const words = `attested by ${issuer}: ${facts.join(", ")}; bound to this TLS channel`;
  return printable(words);
}

/** The link may be newer than the init that started it. */
export function versionLine({ init_version, link_version }: Status): string {
  const link = link_version === undefined ? "" : `, link ${link_version}`;
  return printable(`machine: init ${init_version}${link}`);
}
