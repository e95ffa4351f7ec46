import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import {
  type LocalOptions,
  type LocalServer,
  startLocal,
} from "../../../src/roles/local/server.ts";
import { answerProblems, requestProblems } from "../../support/api-schema.ts";

// Tests say themselves what they expect of an answer, and fail where it is not so.
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any;

export interface Reply {
  readonly status: number;
  readonly json: Json;
  readonly headers: Headers;
}

/** A fly-local in this process, and whoever calls it. */
export interface Stage {
  readonly dir: string;
  readonly server: LocalServer;
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Reply>;
  machine(config?: Record<string, unknown>, extra?: Record<string, unknown>): Promise<Json>;
  reach(id: string, state: string): Promise<void>;
  log(id: string): Promise<string>;
  close(): Promise<void>;
}

const reportShape = v.looseObject({ faults: v.array(v.unknown()) });

/** Every request that was answered well, and every answer, is as Fly's description says. */
function checkDescribed(method: string, path: string, body: unknown, reply: Reply): void {
  const url = new URL(path, "http://localhost");
  const query = [...url.searchParams.keys()];
  const asked = reply.status < 400 ? requestProblems(method, url.pathname, query, body) : [];
  const answered = answerProblems(method, url.pathname, reply.status, reply.json);
  const found = [...(asked ?? []), ...(answered ?? [])];
  if (found.length > 0) throw new Error(`${method} ${path} ${reply.status}: ${found.join("; ")}`);
}

/** Runs what `init.cmd` of the machine says, so that a test decides how a machine behaves. */
const entrypoint = ["/bin/sh", "-c", 'eval "${1:-exec sleep 60}"', "init"];

export async function openStage(options: Partial<LocalOptions> = {}): Promise<Stage> {
  const dir = options.stateDir ?? mkdtempSync(join(tmpdir(), "fl-"));
  const events: string[] = [];
  const server = await startLocal({
    hostname: "127.0.0.1",
    port: 0,
    org: "local",
    region: "iad",
    entrypoint,
    evidencePace: undefined,
    paced: false,
    strictApps: false,
    log: (level, event, fields) => events.push(`${level} ${event} ${JSON.stringify(fields)}`),
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    ...options,
    stateDir: dir,
  });
  const call: Stage["call"] = async (method, path, body, headers = {}) => {
    const response = await fetch(server.apiBase + path, {
      method,
      body: body === undefined ? null : JSON.stringify(body),
      headers: { authorization: `Bearer ${server.apiToken}`, ...headers },
    });
    const text = await response.text();
    const reply = {
      status: response.status,
      json: text === "" ? undefined : JSON.parse(text),
      headers: response.headers,
    };
    const spoiled = v.parse(reportShape, server.faults.report()).faults.length > 0;
    if (!spoiled) checkDescribed(method, path, body, reply);
    return reply;
  };
  return {
    dir,
    server,
    call,
    machine: async (config = {}, extra = {}) => {
      const wish = { ...extra, config: { image: "registry.fly.io/a/init:1", ...config } };
      const { status, json } = await call("POST", "/v1/apps/app-a/machines", wish);
      if (status !== 200) throw new Error(`create: ${status} ${JSON.stringify(json)}`);
      return json;
    },
    reach: async (id, state) => {
      const { status, json } = await call(
        "GET",
        `/v1/apps/app-a/machines/${id}/wait?state=${state}&timeout=30`,
      );
      if (status !== 200) throw new Error(`wait ${state}: ${status} ${JSON.stringify(json)}`);
    },
    log: async (id) => Bun.file(join(dir, "machines", id, "log")).text(),
    close: async () => {
      await server.close({ keepMachines: false });
      if (options.stateDir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** `init.cmd` for the entrypoint above. */
export function script(words: string): Record<string, unknown> {
  return { init: { cmd: [words] } };
}

/** A file to be executed, for fly-local as a process of its own. */
export function writeScript(path: string, words: string): string {
  writeFileSync(path, `#!/bin/sh\n${words}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Until it holds, for at most thirty seconds. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await holds()) return;
    await Bun.sleep(50);
  }
  throw new Error("It never came to pass");
}
