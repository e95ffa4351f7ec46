import { UsageError } from "../../src/cli/usage-error.ts";
import { RemoteError, WireError } from "../../src/protocol/errors.ts";
import { decodeJson, encodeJson } from "../../src/protocol/message.ts";
import { parseGroups, parsePasswd } from "../../src/roles/init/account.ts";
import { initLimits } from "../../src/roles/init/limits.ts";
import { readOptions } from "../../src/roles/init/options.ts";
import { parseReport } from "../../src/roles/init/provision/report.ts";
import { bootReportSchema } from "../../src/roles/init/workload-plan.ts";
import { allowing, type FuzzTarget } from "../support/fuzz.ts";
import { mutateJson } from "../support/json-damage.ts";
import { pick } from "../support/mutation.ts";
import { between, type Random } from "../support/seed.ts";

/** What images, children and the environment tell init. */

const decoder = new TextDecoder();
const users = ["root", "alice", "1000", "0", "", "nobody", ":", "x"];
const numbers = ["0", "1", "1000", "65534", "4294967294", "4294967295", "-1", "1e3", "0x10", ""];

function anyAccountFile(random: Random): Uint8Array {
  const id = (): string => pick(random, random() < 0.8 ? ["0", "1000"] : numbers);
  const lines = Array.from({ length: between(random, 0, 6) }, () => {
    const [home, shell] = [pick(random, ["/home/x", ""]), pick(random, ["/bin/zsh", ""])];
    const fields = [pick(random, users), "x", id(), id(), "alice,root,,x", home, shell];
    if (random() < 0.2) fields.splice(between(random, 0, 6), 1);
    return fields.join(":");
  });
  return Buffer.from(
    `root:x:0:0:root:/root:/bin/bash\n${lines.join(pick(random, ["\n", "\r\n"]))}`,
  );
}

/** /etc/passwd and /etc/group of an image: an account of some line as it stands, with numbers the kernel takes as such. */
export const accounts: FuzzTarget = {
  name: "passwd and group",
  runs: 300_000,
  corpus: (random) => Array.from({ length: 300 }, () => anyAccountFile(random)),
  check: (bytes) => {
    const text = decoder.decode(bytes);
    let found = false;
    for (const user of ["alice", "1000"]) {
      const account = parsePasswd(text, user);
      if (account === undefined) continue;
      found = true;
      const { name, uid, gid, home, shell } = account;
      const lines = text.split("\n").map((line) => line.trim().split(":"));
      const isThere = lines.some(
        (fields) => fields[0] === name && Number(fields[2]) === uid && Number(fields[3]) === gid,
      );
      if (!isThere || (name !== user && String(uid) !== user))
        throw new Error(`no line of ${user}`);
      if (home === "" || shell === "") throw new Error("an account without home or shell");
      checkIds([uid, gid, ...parseGroups(text, name, gid)]);
    }
    return found;
  },
};

/** The largest number is "leave as it is" to the kernel, and so no user's. */
function checkIds(ids: readonly number[]): void {
  if (ids.some((id) => !Number.isInteger(id) || id < 0 || id > 2 ** 32 - 2))
    throw new RangeError(`ids ${ids.join(" ")}`);
}

/** What the child that becomes PID 1 says on its pipe. */
export const bootReports: FuzzTarget = {
  name: "boot reports",
  runs: 200_000,
  corpus: () =>
    [
      { kind: "assembled", pid: 4711 },
      { kind: "execute", runtime: "system-init", stopSignal: 37, isBusybox: false },
      { kind: "execute", runtime: "fallback-init", stopSignal: 15, isBusybox: true },
      { kind: "failed", step: "mounts", message: "mount: EINVAL" },
    ].map(encodeJson),
  mutate: mutateJson,
  check: (bytes) => {
    const report = allowing(WireError, () => decodeJson(bootReportSchema, bytes, "Report"));
    if (report?.kind === "assembled" && !(Number.isSafeInteger(report.pid) && report.pid > 0))
      throw new RangeError(`process ${report.pid}`);
    if (report?.kind === "execute" && !(report.stopSignal > 0 && report.stopSignal <= 64))
      throw new RangeError(`signal ${report.stopSignal}`);
    return report !== undefined;
  },
};

const digest = "0f".repeat(32);

/** What the child that unpacks says, which a hostile archive may have taken over. */
export const unpackReports: FuzzTarget = {
  name: "unpack reports",
  runs: 200_000,
  corpus: () =>
    [
      {
        type: "progress",
        phase: "unpack",
        received_bytes: 65_536,
        entries: 12,
        written_bytes: 180_224,
      },
      {
        type: "done",
        sha256: digest,
        received_bytes: 9,
        entries: 3,
        written_bytes: 4,
        skipped: ["1 × block device, first dev/sda"],
      },
      { type: "refused", code: "archive-refused", message: "a: no (E_TYPE)", hint: "pack again" },
    ].map(encodeJson),
  mutate: mutateJson,
  check: (bytes) => {
    const report = allowing(RemoteError, () => parseReport(decoder.decode(bytes)));
    for (const value of Object.values(report ?? {}))
      if (typeof value === "number" && (!Number.isSafeInteger(value) || value < 0))
        throw new RangeError(`a count of ${value}`);
    return report !== undefined;
  },
};

/** The environment: options that the kernel takes, or a usage error. */
export const options: FuzzTarget = {
  name: "environment",
  runs: 300_000,
  corpus: () =>
    [
      "FLY_APP_NAME=dev-vaults\nFLY_MACHINE_ID=148e21ea7e46e8\nVAULT_STOP_GRACE=10s",
      "VAULT_HOSTNAME=my vault!\nVAULT_STOP_GRACE=500ms\nVAULT_LOG=debug",
      "RUST_LOG=vault=trace,quic=info\nVAULT_STOP_GRACE=4",
      "VAULT_FIREWALL=on\nVAULT_OPEN_PORTS=tcp/80 udp/5000-5010",
      "VAULT_SESSION_OUTPUT=1M\nVAULT_SESSION_OUTPUT_TOTAL=64M",
      "FLY_APP_NAME=--\nVAULT_HOSTNAME=\nRUST_LOG=\nVAULT_DATA_DIR=/data",
      "VAULT_STOP_GRACE=999999",
      "VAULT_STOP_GRACE=1000000\nVAULT_DATA_DIR=data",
    ].map((text) => Buffer.from(text)),
  check: (bytes) => {
    const env = Object.fromEntries(
      decoder
        .decode(bytes)
        .split("\n")
        .map((line) => line.split(/=(.*)/s)),
    ) as Record<string, string | undefined>;
    const dataDir = env["VAULT_DATA_DIR"];
    const flags = {
      listen: undefined,
      "data-dir": dataDir,
      "api-socket": undefined,
      "run-dir": undefined,
      "session-output": env["VAULT_SESSION_OUTPUT"],
      "session-output-total": env["VAULT_SESSION_OUTPUT_TOTAL"],
      "idle-stop": env["VAULT_IDLE_STOP"],
    };
    const read = allowing(UsageError, () => readOptions(flags, env));
    if (read === undefined) return false;
    if (!/^[A-Za-z0-9-]{1,63}$/.test(read.hostname)) throw new Error(`host "${read.hostname}"`);
    const { stopGraceMs } = read;
    if (
      !Number.isSafeInteger(stopGraceMs) ||
      stopGraceMs < 0 ||
      stopGraceMs > initLimits.timerMsMax
    )
      throw new RangeError(`a grace of ${stopGraceMs} ms`);
    return true;
  },
};
