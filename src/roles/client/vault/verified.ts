import type { Context } from "../../../cli/context.ts";
import { counted } from "../../../cli/counted.ts";
import { printable } from "../../../cli/printable.ts";
import { mark } from "../../../cli/symbols.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import type { Status } from "../../../protocol/message.ts";
import { attestPolicy } from "./attest-policy.ts";
import type { KnownMachine } from "./known-machines.ts";
import type { VaultConfig } from "./vault-config.ts";

/** What a login has proven, and why each of it counts. The login itself has refused all that does not fit. */
export interface Verified {
  readonly vault: string;
  readonly issuer: string;
  readonly org: Fact;
  readonly app: Fact;
  readonly machine: Fact;
  readonly image: Fact;
  readonly init: Fact;
  readonly imageName: string | undefined;
  readonly region: string | undefined;
  /** How many digests the policy allows; undefined where it names none. */
  readonly digestsAllowed: number | undefined;
  readonly tokenAgeMs: number;
  /** How far the issuer's clock is at least from ours; it counts in seconds. */
  readonly clockSkewMs: number;
  readonly attestedMs: number;
}

export type Standing = "pinned" | "allowed" | "first use" | "not pinned";

interface Fact {
  readonly value: string | undefined;
  readonly standing: Standing;
}

export function verified(seen: {
  readonly config: VaultConfig;
  readonly machine: AttestedMachine;
  readonly status: Pick<Status, "init_version">;
  /** The record of first use as it was before. */
  readonly before: KnownMachine | undefined;
  readonly startedMs: number;
  readonly nowMs: number;
}): Verified {
  const { config, machine, before, startedMs, nowMs } = seen;
  const policy = attestPolicy(config);
  const digests = policy.imageDigests;
  return {
    vault: config.name,
    issuer: machine.issuer,
    org: { value: config.org, standing: "pinned" },
    app: { value: machine.appName, standing: "pinned" },
    machine: {
      value: machine.machineId,
      standing: policy.machineId === undefined ? rememberedAs(before?.machineId) : "pinned",
    },
    image: { value: machine.imageDigest, standing: imageStanding(policy, before) },
    init: {
      value: seen.status.init_version,
      standing: policy.minInitVersion === undefined ? "not pinned" : "allowed",
    },
    imageName: machine.image,
    region: machine.region,
    digestsAllowed: digests?.length,
    tokenAgeMs: Math.max(0, nowMs - machine.issuedAtMs),
    clockSkewMs: skewMs(machine.issuedAtMs, startedMs, nowMs),
    attestedMs: nowMs,
  };
}

/** "pinned" is what was remembered before and came again. */
function rememberedAs(before: string | undefined): Standing {
  return before === undefined ? "first use" : "pinned";
}

function imageStanding(
  { imageDigests, pinImage }: ReturnType<typeof attestPolicy>,
  before: KnownMachine | undefined,
): Standing {
  if (imageDigests !== undefined) return "allowed";
  return pinImage === true ? rememberedAs(before?.imageDigest) : "not pinned";
}

/** Evidence made for this connection was made between its start and now; times in it are whole seconds. */
function skewMs(issuedMs: number, startedMs: number, nowMs: number): number {
  const earliestMs = Math.floor(startedMs / 1000) * 1000;
  if (issuedMs < earliestMs) return earliestMs - issuedMs;
  return Math.max(0, issuedMs - nowMs);
}

export function renderVerified(facts: Verified, env: Context["env"]): string {
  const ok = mark("ok", env).trimEnd();
  const standing = ({ standing: how }: Fact, detail = ""): string =>
    how === "not pinned" ? how : `${ok} ${how}${detail}`;
  const policy =
    facts.digestsAllowed === undefined
      ? ""
      : ` (policy: ${counted(facts.digestsAllowed, "digest")})`;
  const rows: [string, string, string][] = [
    ["org", facts.org.value ?? "", standing(facts.org)],
    ["app", facts.app.value ?? "", standing(facts.app)],
    ["machine", facts.machine.value ?? "", standing(facts.machine)],
    ["region", facts.region ?? "not told", ""],
    ["image", imageText(facts), standing(facts.image, policy)],
    ["init", facts.init.value ?? "", standing(facts.init)],
  ];
  const lines = rows.map(([name, value, how]) =>
    printable(`  ${name.padEnd(8)} ${value}  ${how}`).trimEnd(),
  );
  const age = (facts.tokenAgeMs / 1000).toFixed(0);
  const skew =
    facts.clockSkewMs < 1000 ? "under 1 s" : `${(facts.clockSkewMs / 1000).toFixed(0)} s`;
  return [
    printable(`${facts.vault}  attested just now by ${facts.issuer}`),
    ...lines,
    `  binding  this TLS channel ${ok}   signature RS256 ${ok}   access token known to both ${ok}`,
    `  evidence ${age} s old   clock skew ${skew}`,
    `not covered: ${notCovered.join(", ")} (fly-vault help trust)`,
    "",
  ].join("\n");
}

/** Where the image was named by its digest, the name has it already. */
function imageText({ image, imageName }: Verified): string {
  const digest = image.value ?? "not told";
  if (imageName === undefined || imageName.endsWith(`@${digest}`)) return imageName ?? digest;
  return `${imageName}@${digest}`;
}

export function verifiedJson(facts: Verified): Record<string, unknown> {
  return {
    vault: facts.vault,
    attested_at: new Date(facts.attestedMs).toISOString(),
    issuer: facts.issuer,
    org: fact(facts.org),
    app: fact(facts.app),
    machine: fact(facts.machine),
    region: facts.region ?? null,
    image: { name: facts.imageName ?? null, ...fact(facts.image) },
    digests_allowed: facts.digestsAllowed ?? null,
    init_version: fact(facts.init),
    binding: "tls_exporter",
    signature: "RS256",
    token_age_ms: facts.tokenAgeMs,
    clock_skew_ms: facts.clockSkewMs,
    not_covered: notCovered,
  };
}

function fact({ value, standing }: Fact): Record<string, string | null> {
  return { value: value ?? null, standing: standing.replaceAll(" ", "_") };
}

const notCovered = ["Fly's own hosts", "data at rest", "which process in the machine answers"];
