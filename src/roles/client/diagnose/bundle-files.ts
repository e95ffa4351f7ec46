import { open, stat } from "node:fs/promises";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { runChecks } from "../../../cli/check.ts";
import { renderCheck } from "../../../cli/check-table.ts";
import type { Context } from "../../../cli/context.ts";
import { configPath } from "../../../cli/paths.ts";
import { version } from "../../../cli/program.ts";
import { mark } from "../../../cli/symbols.ts";
import { readConfig, tableOf, isTable } from "../vault/config-file.ts";
import { clientLimits } from "../limits.ts";
import type { BundleFile } from "./bundle-archive.ts";
import { doctorChecks, type DoctorWish } from "./doctor-checks.ts";
import type { Redactor } from "../../../cli/redactor.ts";

/** Texts about this computer and a vault, secrets taken out. What cannot be had says why. */
export async function collectBundle(
  wish: DoctorWish,
  redactor: Redactor,
  context: Context,
): Promise<BundleFile[]> {
  const { env } = context;
  for (const name of Object.keys(env)) if (isSecret(name)) redactor.add(env[name]);
  const config = attempt(() => configuration(redactor, env));
  const texts: Readonly<Record<string, string>> = {
    "about.txt": about(context),
    "environment.txt": environment(env),
    "config.toml": config,
    "doctor.txt": await checkUp(wish, context),
    ...(await logTail(env["FLY_VAULT_LOG_FILE"])),
  };
  return Object.entries(texts).map(([name, text]) => ({ name, text: redactor.clean(text) }));
}

function about({ wallMs }: Context): string {
  const [cpu] = cpus();
  return [
    `fly-vault ${version}, Bun ${Bun.version}`,
    `${platform()} ${release()} ${arch()}, ${cpus().length} x ${cpu?.model ?? "?"}`,
    `${Math.round(totalmem() / 2 ** 20)} MiB of memory`,
    `made ${new Date(wallMs()).toISOString()}`,
    "",
  ].join("\n");
}

/** What changes how we behave; other variables are nobody's business. */
function environment(env: Context["env"]): string {
  const names = Object.keys(env).filter((name) =>
    /^(?:FLY_VAULT_|XDG_|LC_|LANG$|TERM$|COLORTERM$|NO_COLOR$|FORCE_COLOR$|CLICOLOR|CI$)/.test(
      name,
    ),
  );
  return names
    .toSorted()
    .map((name) => `${name}=${isSecret(name) ? "[set]" : (env[name] ?? "")}\n`)
    .join("");
}

/** Those of our other programs, too, which may be started from the same shell. */
function isSecret(name: string): boolean {
  return /(?:TOKEN|KEYS?|SECRET|PASSWORD|INVITE)$/.test(name);
}

/** As it stands, comments and all. Tokens that do not look like ours are told to the redactor first. */
function configuration(redactor: Redactor, env: Context["env"]): string {
  const file = readConfig(configPath(env));
  for (const table of Object.values(tableOf(file, "vault"))) {
    if (!isTable(table)) continue;
    for (const key of ["access_token", "admission_key"]) {
      const value = table[key];
      if (typeof value === "string") redactor.add(value);
    }
  }
  return file.source;
}

async function checkUp(wish: DoctorWish, context: Context): Promise<string> {
  try {
    let text = "";
    await runChecks(await doctorChecks(wish, context), context.monotonicMs, async (report) => {
      text += renderCheck(report, (status) => mark(status, { LANG: "C.UTF-8" }));
    });
    return text;
  } catch (error) {
    return `not done: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}

/** The newest of it. */
async function logTail(path: string | undefined): Promise<Readonly<Record<string, string>>> {
  if (path === undefined || path === "") return {};
  try {
    const { size } = await stat(path);
    const from = Math.max(0, size - clientLimits.bundleLogBytesMax);
    const handle = await open(path);
    try {
      const bytes = new Uint8Array(size - from);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
      return { "log.ndjson": new TextDecoder().decode(bytes.subarray(0, bytesRead)) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    return {
      "log.ndjson": `not read: ${error instanceof Error ? error.message : String(error)}\n`,
    };
  }
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch (error) {
    return `not read: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}
