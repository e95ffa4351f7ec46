import { tenantTemplate } from "../../support/tenant-template.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../src/roles/admin/main.ts";
import { type LocalServer, startLocal } from "../../../src/roles/local/server.ts";
import { type MemoryContext, memoryContext } from "../../support/memory-context.ts";
import { type FaultProxy, type FaultRule, openFaultProxy } from "./fault-proxy.ts";
import { jsonOutputs } from "../../../src/roles/admin/json-outputs.ts";
import { checkPrintedJson } from "../../support/printed-json.ts";

export const app = "vault-tenants";

/** An administrator at work: a small Fly behind a proxy that can spoil calls, and the program. */
export interface AdminStage {
  readonly dir: string;
  readonly template: string;
  readonly fly: LocalServer;
  readonly proxy: FaultProxy;
  /** What goes wrong; may be changed at any time. */
  readonly rules: FaultRule[];
  readonly env: Readonly<Record<string, string>>;
  admin(...words: readonly string[]): Promise<Ran>;
  /** Starts, and leaves the context to whoever wants to interrupt. */
  start(...words: readonly string[]): {
    readonly context: MemoryContext;
    readonly exit: Promise<number>;
  };
  /** Machines and volumes that are there, straight from the API. */
  machines(): Promise<Row[]>;
  volumes(): Promise<Row[]>;
  write(name: string, text: string | Uint8Array): string;
  close(): Promise<void>;
}

export interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly config: {
    readonly env: Record<string, string>;
    readonly metadata: Record<string, string>;
  };
  /** Newest first. */
  readonly events: readonly { readonly type: string; readonly status: string }[];
}

export async function openAdminStage(
  wanted: readonly FaultRule[] = [],
  options: { readonly entrypoint?: readonly string[] } = {},
): Promise<AdminStage> {
  const dir = mkdtempSync(join(tmpdir(), "fva-"));
  const fly = await startLocal({
    stateDir: join(dir, "fly"),
    hostname: "127.0.0.1",
    port: 0,
    org: "local",
    region: "iad",
    entrypoint: options.entrypoint ?? [
      "/bin/sh",
      "-c",
      `test "$1" || exec sleep 60; exit 127`,
      "init",
    ],
    evidencePace: undefined,
    paced: false,
    strictApps: false,
    log: () => undefined,
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  });
  const rules = [...wanted];
  const proxy = openFaultProxy(fly.apiBase, rules);
  const write = (name: string, text: string | Uint8Array): string => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  };
  const env = {
    FLY_API_BASE: proxy.base,
    FLY_API_TOKEN: fly.apiToken,
    FLY_APP: app,
    FLY_VAULT_HOME: join(dir, "home"),
    FLY_VAULT_STAY_SECS: "0",
  };
  const start: AdminStage["start"] = (...words) => {
    const context = withoutWaiting(memoryContext({ env, columns: 100 }));
    return { context, exit: main(words, context) };
  };
  const rows = async (kind: string): Promise<Row[]> => {
    const reply = await fetch(`${fly.apiBase}/v1/apps/${app}/${kind}`, {
      headers: { authorization: `Bearer ${fly.apiToken}` },
    });
    return ((await reply.json()) as Row[]).filter(({ state }) => state !== "pending_destroy");
  };
  return {
    dir,
    template: write("tenant.template.toml", templateText),
    fly,
    proxy,
    rules,
    env,
    admin: async (...words) => {
      const { context, exit } = start(...words);
      const exitCode = await exit;
      checkPrintedJson(jsonOutputs, words, context.out());
      return { exitCode, out: context.out(), err: context.err() };
    },
    start,
    machines: async () => rows("machines"),
    volumes: async () => rows("volumes"),
    write,
    close: async () => {
      await proxy.close();
      await fly.close({ keepMachines: false });
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Pauses take no time, and yet the clock says they did. */
export function withoutWaiting(context: MemoryContext): MemoryContext {
  let sleptMs = 0;
  return {
    ...context,
    monotonicMs: () => performance.now() + sleptMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      sleptMs += ms;
    },
  };
}

/** The template of the README. */
export const templateText: string = tenantTemplate(app);
