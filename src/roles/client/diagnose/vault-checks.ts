import type { Check, CheckOutcome } from "../../../cli/check.ts";
import type { Context } from "../../../cli/context.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { cacheDirectory } from "../../../cli/paths.ts";
import { counted } from "../../../cli/counted.ts";
import { version } from "../../../cli/program.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import type { Report } from "../../../protocol/message.ts";
import { JwksCache } from "../../../fly/jwks.ts";
import { flyLimits } from "../../../fly/limits.ts";
import { LinkFolderError } from "../shared-link/link-place.ts";
import { listLinks } from "../shared-link/link-list.ts";
import { isAtLeast } from "../vault/version-order.ts";
import { readAccessToken } from "../vault/access-token.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { asFailure } from "../link/remote-failure.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { type LinkFlagValues, openLink, transportOf } from "../link/vault-link.ts";
import { VaultProbe } from "../vault/vault-probe.ts";
import { outcomeOf } from "./failure-outcome.ts";
import { machineReport, spaceWords } from "./status.ts";

/** Each step to a vault as a check of its own; what one finds out the next ones use. */
export class VaultChecks {
  readonly #config: VaultConfig;
  readonly #flags: LinkFlagValues;
  readonly #context: Context;
  #accessToken: string | undefined;
  #login: AttestedLink["login"] | undefined;
  #report: Report | undefined;
  #issuer: string | undefined;
  #roundTripMs = 0;

  constructor(config: VaultConfig, flags: LinkFlagValues, context: Context) {
    this.#config = config;
    this.#flags = flags;
    this.#context = context;
  }

  token(): Check {
    return this.#check("token", "access token", [], async () => {
      const read = await readAccessToken(this.#config, this.#context, this.#flags["token-file"]);
      this.#accessToken = read.token;
      const [warning] = read.warnings;
      if (warning === undefined) return { status: "ok", detail: "there, and well formed" };
      return {
        status: "warning",
        detail: warning,
        fix: "fly-vault-admin tenant rotate-token TENANT  makes a strong one",
      };
    });
  }

  rest(): Check[] {
    const up = ["login"];
    return [
      this.#check("attestation", "attestation", [`udp:${this.#config.name}`], async () =>
        this.#attest(),
      ),
      this.#check("signing-keys", "signing keys", ["attestation"], async () => this.#keys()),
      this.#check("login", "login", ["token", "attestation"], async () => this.#logIn()),
      this.#check("background-link", "background link", [], async () => this.#background()),
      this.#check("clock", "clocks", up, async () => this.#clock()),
      this.#check("version", "versions", up, async () => this.#version()),
      this.#check("rootfs", "root filesystem", up, async () => this.#rootfs()),
      this.#check("disk", "disk", up, async () => this.#disk()),
    ];
  }

  #check(name: string, title: string, needs: string[], run: Check["run"]): Check {
    const fix = `fly-vault connect ${this.#config.name} -v`;
    return { name, title, needs, run: async () => outcomeOf(run, fix) };
  }

  async #attest(): Promise<CheckOutcome> {
    const transport = transportOf(this.#flags.transport);
    const machine = await new VaultProbe(this.#config, this.#context, transport).attest();
    this.#issuer = machine.issuer;
    const { appName, machineId, region, issuedAtMs } = machine;
    const ageS = Math.round((this.#context.wallMs() - issuedAtMs) / 1000);
    const where = region === undefined ? "" : ` in ${region}`;
    const detail = `app ${appName}, machine ${machineId}${where}, bound to this channel; evidence ${ageS} s old`;
    return { status: "ok", detail };
  }

  /** Too old ones keep nobody out before a day has gone by, and say that the issuer cannot be asked. */
  async #keys(): Promise<CheckOutcome> {
    const { env, wallMs } = this.#context;
    const cache = new JwksCache({ cacheDir: cacheDirectory(env), wallMs });
    const kept = await cache.kept(this.#issuer ?? "");
    if (kept === undefined)
      return {
        status: "warning",
        detail: "not kept, so they are asked for each time",
        fix: `look at the rights of ${cacheDirectory(env)}`,
      };
    const detail = `of ${this.#issuer}, ${kept.keys} known, asked for ${formatDuration(kept.ageMs)} ago`;
    if (kept.ageMs < flyLimits.jwksFreshMs) return { status: "ok", detail };
    const fix = "it does not answer: check HTTPS_PROXY, or https://status.flyio.net";
    return { status: "warning", detail, fix };
  }

  /** A check-up makes connections of its own; other commands may ride on this one. */
  async #background(): Promise<CheckOutcome> {
    const links = await listLinks(this.#context.env).catch((error: unknown) => {
      if (error instanceof LinkFolderError) return error;
      throw error;
    });
    if (links instanceof LinkFolderError)
      return { status: "warning", detail: links.message, fix: "or work without:  --no-link" };
    const ours = links.filter(({ vault }) => vault === this.#config.name);
    const fix = `fly-vault link stop ${this.#config.name}`;
    if (ours.length === 0) return { status: "skipped", detail: "none" };
    const more = ours.map(
      (link) =>
        `process ${link.pid} (${formatDuration(link.age_ms)} old), ${link.state}, ${counted(link.clients, "command")}, version ${link.version}`,
    );
    const detail = `${counted(ours.length, "link")} that commands ride on`;
    const isOdd = ours.some((link) => link.state !== "up" || link.version !== version);
    return isOdd ? { status: "warning", detail, more, fix } : { status: "ok", detail, more };
  }

  async #logIn(): Promise<CheckOutcome> {
    const { monotonicMs } = this.#context;
    const token = this.#accessToken ?? "";
    const vault = { config: this.#config, accessToken: async () => token };
    const transport = transportOf(this.#flags.transport);
    const options = { reconnectMs: 0, transport, verbose: 0, quiet: true };
    const link = await openLink(vault, options, this.#context);
    try {
      this.#login = link.login;
      const startedMs = monotonicMs();
      this.#report = await this.#ask(link);
      this.#roundTripMs = monotonicMs() - startedMs;
      const ms = this.#roundTripMs.toFixed(1);
      return { status: "ok", detail: `both sides know the token; a question takes ${ms} ms` };
    } finally {
      await link.close();
    }
  }

  /** A machine that is too old to say how it is can still be logged in to. */
  async #ask(link: AttestedLink): Promise<Report | undefined> {
    try {
      return await machineReport(link);
    } catch (error) {
      if (error instanceof RemoteError && error.code === "unsupported") return undefined;
      throw asFailure(error, this.#config.name);
    }
  }

  #clock(): CheckOutcome {
    if (this.#report === undefined) return tooOld;
    const ours = this.#context.wallMs();
    const aheadMs = ours - this.#roundTripMs / 2 - this.#report.clock_ms;
    const detail = `ours is ${formatDuration(Math.abs(aheadMs))} ${aheadMs > 0 ? "ahead of" : "behind"} the machine's`;
    if (Math.abs(aheadMs) < skewMs) return { status: "ok", detail };
    const fix =
      "set this computer's clock (timedatectl set-ntp true): evidence is good for minutes";
    return { status: "warning", detail, fix };
  }

  #version(): CheckOutcome {
    const status = this.#login?.status;
    if (status === undefined) return tooOld;
    const { init_version: init, protocol_oldest: oldest, protocol_newest: newest } = status;
    const detail = `client ${version}, init ${init} (protocol ${oldest} to ${newest}, using ${this.#login?.version})`;
    if (init === version) return { status: "ok", detail };
    const words = isAtLeast(version, init)
      ? "the machine is older: whoever runs it updates it (fly-vault-admin tenant update-image)"
      : "this program is older: install the version of the machine or a newer one";
    return {
      status: "warning",
      detail,
      fix: `${words}; until then what only one side knows is refused`,
    };
  }

  #rootfs(): CheckOutcome {
    const status = this.#login?.status;
    const fix = `fly-vault provision ${this.#config.name}`;
    if (status === undefined) return tooOld;
    if (status.vm_state === "cold") return { status: "warning", detail: "none yet", fix };
    if (status.rolled_back !== undefined)
      return {
        status: "warning",
        detail: `went back by itself: ${status.rolled_back.because}`,
        fix,
      };
    if (status.runtime === "failed")
      return { status: "failed", detail: "its init does not stay up", fix };
    return { status: "ok", detail: `${status.vm_state}, ${status.runtime}` };
  }

  #disk(): CheckOutcome {
    const disk = this.#report?.disk;
    if (disk === undefined) return tooOld;
    const detail = spaceWords(disk);
    const share = disk.total_bytes === 0 ? 1 : disk.available_bytes / disk.total_bytes;
    if (share > 0.1) return { status: "ok", detail };
    const fix = "remove files in it, or: fly volumes extend ID --size GIB";
    return { status: share > 0.02 ? "warning" : "failed", detail, fix };
  }
}

const tooOld: CheckOutcome = { status: "skipped", detail: "the machine is too old to say" };
/** Evidence lives for minutes; half of one is still harmless. */
const skewMs = 30_000;
