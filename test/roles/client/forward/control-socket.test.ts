import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import {
  newRegisteredPath,
  prepareRegistry,
} from "../../../../src/roles/client/forward/forward-registry.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { listenTcp, listenUnix } from "../../../../src/system/tcp-stream.ts";
import { jsonSchemaProblems } from "../../../support/json-schema.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { ask, DigestServer, run, until, whileRunning } from "./forward-stage.ts";
import { freePort } from "../../../support/free-port.ts";

setDefaultTimeout(120_000);

interface Operation {
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<
    Record<string, { readonly $ref?: string; readonly content?: Content }>
  >;
}
type Content = Readonly<Record<string, { readonly schema?: object }>>;
interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: object;
    readonly responses: Readonly<Record<string, { readonly content: Content }>>;
  };
}

const text = readFileSync(
  new URL("../../../../docs/control-socket-api.yaml", import.meta.url),
  "utf8",
);
const description = Bun.YAML.parse(
  text.replaceAll("#/components/schemas/", "#/$defs/"),
) as Description;

function problems(value: unknown, schema: object | undefined): string[] {
  if (schema === undefined) return [];
  return jsonSchemaProblems(value, { ...schema, $defs: description.components.schemas });
}

let vault: TestVault;
let target: DigestServer;
let socket: string;
const called = new Set<string>();

beforeAll(async () => {
  vault = await TestVault.open();
  target = await DigestServer.listen({ host: "127.0.0.1" });
  socket = join(vault.folder, "made/for/it/control.sock");
});
afterAll(async () => {
  target.close();
  await vault.close();
});

const controlled = (work: () => Promise<void>, ...words: string[]) =>
  whileRunning(
    ["connect", "-N", "dev", "--control-socket", socket, "-L", "0:localhost:1", ...words],
    vault.env,
    async () => {
      await until(() => existsSync(socket));
      await work();
    },
  );

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly trailers: Readonly<Record<string, string | undefined>>;
}

/** Every question and answer is held against the description. */
async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await send(method, path, body === undefined ? "" : JSON.stringify(body));
  const operation = description.paths[path]?.[method.toLowerCase()];
  if (operation === undefined) expect(answer.status).toBe(404);
  else checkAnswer(operation, body, answer);
  called.add(`${method} ${path} ${answer.status}`);
  return answer;
}

function checkAnswer(
  { requestBody, responses }: Operation,
  asked: unknown,
  { status, headers, body }: Answer,
): void {
  if (status === 200) expect(problems(asked, schemaOf(requestBody?.content))).toEqual([]);
  const described = responses[String(status)];
  expect(described).toBeDefined();
  const named = described?.$ref?.split("/").at(-1);
  const content =
    named === undefined ? described?.content : description.components.responses[named]?.content;
  const type = String(headers["content-type"]);
  expect(Object.keys(content ?? {})).toContain(type);
  if (type === "application/json")
    expect(problems(JSON.parse(body), schemaOf(content))).toEqual([]);
}

function schemaOf(content: Content | undefined): object | undefined {
  return content?.["application/json"]?.schema;
}

function send(method: string, path: string, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Of itself it sends no body with a DELETE.
    const headers = { "content-length": Buffer.byteLength(body) };
    const request = httpRequest({ socketPath: socket, method, path, headers }, (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { trailers, statusCode: status = 0 } = response;
        resolve({
          status,
          headers: response.headers,
          trailers,
          body: Buffer.concat(chunks).toString(),
        });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

test("forwards are listed, added, used and removed", async () => {
  await controlled(async () => {
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const port = freePort();
    const spec = `${port}:127.0.0.1:${target.port}`;
    const added = await call("POST", "/forwards", { spec });
    expect(JSON.parse(added.body)).toMatchObject({
      kind: "L",
      local_port: port,
      target: `127.0.0.1:${target.port}`,
      state: "up",
    });
    expect(await ask(port, new Uint8Array(3))).toStartWith("3 ");
    expect((await call("POST", "/forwards", { spec })).status).toBe(409);
    const remote = await call("POST", "/forwards", {
      spec: `0:127.0.0.1:${target.port}`,
      kind: "R",
    });
    const there = Number(
      /:(\d+)$/.exec((JSON.parse(remote.body) as { listen: string }).listen)?.[1],
    );
    expect(await ask(there, new Uint8Array(4))).toStartWith("4 ");
    const list = JSON.parse((await call("GET", "/forwards")).body) as { listen: string }[];
    expect(list).toHaveLength(3);
    expect((await call("DELETE", "/forwards", { local_port: port })).status).toBe(200);
    expect(await ask(port, new Uint8Array(3)).catch((e: Error) => e.name)).toBe("SocketError");
    expect((await call("DELETE", "/forwards", { local_port: port })).status).toBe(404);
    const gone = { listen: `127.0.0.1:${there}`, kind: "R" };
    expect((await call("DELETE", "/forwards", gone)).status).toBe(200);
    await until(() => portIsFree(there));
  });
  expect(existsSync(socket)).toBe(false);
});

function portIsFree(port: number): boolean {
  try {
    listenTcp({ host: "127.0.0.1", port }, { onConnection: () => undefined }).close();
    return true;
  } catch {
    return false;
  }
}

test("a command: its output, its input, and how it ended in the trailers", async () => {
  await controlled(async () => {
    const words = ["/bin/sh", "-c", "cat; echo err >&2; exit 7"];
    const first = await call("POST", "/exec", { command: words, stdin: "in\n", session_id: "s-1" });
    expect(first.body.split("\n").toSorted()).toEqual(["", "err", "in"]);
    expect(first.headers["x-session-id"]).toBe("s-1");
    expect(first.trailers).toMatchObject({ "x-exit-code": "7" });
    const bytes = Buffer.from([0, 255, 10]).toString("base64");
    const binary = { command: ["wc", "-c"], stdin_base64: bytes, context: "counting" };
    expect((await call("POST", "/exec", binary)).body.trim()).toBe("3");
    const killed = await call("POST", "/exec", { command: ["/bin/sh", "-c", "kill -9 $$"] });
    expect(killed.trailers).toMatchObject({ "x-exit-code": "137", "x-exit-signal": "9" });
    const sessions = JSON.parse((await call("GET", "/list-exec")).body) as unknown[];
    expect(sessions.length).toBeGreaterThan(2);
  });
});

test("whoever goes away leaves the command running", async () => {
  await controlled(async () => {
    const done = join(vault.folder, "done");
    const script = `head -c 3000000 /dev/zero; echo yes >${done}`;
    const request = httpRequest({ socketPath: socket, method: "POST", path: "/exec" });
    request.on("error", () => undefined);
    request.on("response", () => request.destroy());
    request.end(JSON.stringify({ command: ["/bin/sh", "-c", script] }));
    await until(() => existsSync(done));
    expect((await call("GET", "/forwards")).status).toBe(200);
  });
});

test("what is wrong is said with its status, and the socket goes on", async () => {
  const taken = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  await controlled(async () => {
    for (const body of [{}, { spec: "x" }, { spec: `${taken.port}:a:1` }, { spec: "1", more: 1 }])
      expect((await call("POST", "/forwards", body)).status).toBe(400);
    expect((await call("POST", "/forwards", { spec: "*:1:a:2" })).body).toContain("--gateway");
    for (const body of [
      {},
      { command: [] },
      { command: "ls" },
      { command: ["a"], session_id: "/" },
    ])
      expect((await call("POST", "/exec", body)).status).toBe(400);
    expect((await call("DELETE", "/forwards", { local_port: 0 })).status).toBe(400);
    expect((await send("POST", "/exec", "{")).status).toBe(400);
    const large = { spec: "x".repeat(clientLimits.controlBodyBytesMax) };
    expect((await call("POST", "/forwards", large)).status).toBe(413);
    expect((await call("PUT", "/forwards")).status).toBe(404);
    expect((await call("GET", "/other")).status).toBe(404);
    const remote = { spec: `${taken.port}:a:1`, kind: "R" };
    expect((await call("POST", "/forwards", remote)).status).toBe(502);
    expect((await call("GET", "/forwards")).status).toBe(200);
  });
  taken.close();
});

test("a stale socket gives way; a live one, and a file, do not", async () => {
  const stale = listenUnix(`${socket}.x`, { onConnection: () => undefined });
  await Bun.$`mv ${socket}.x ${socket}`.quiet();
  stale.close();
  await controlled(async () => {
    expect((await call("GET", "/forwards")).status).toBe(200);
    const second = await run(["connect", "-N", "dev", "--control-socket", socket], vault.env);
    expect(second.code).toBe(7);
    expect(second.err).toContain("another process answers at");
  });
  const file = join(vault.folder, "precious");
  await Bun.write(file, "precious");
  const third = await run(["connect", "-N", "dev", "--control-socket", file], vault.env);
  expect(third.code).toBe(7);
  expect(await Bun.file(file).text()).toBe("precious");
});

test("ls, add and rm find the process by its vault", async () => {
  const none = await run(["forward", "ls"], vault.env);
  expect(none).toMatchObject({ code: 0, out: "" });
  expect(none.err).toContain("no forwards");
  const nobody = await run(["forward", "add", "dev", "3000"], vault.env);
  expect(nobody.code).toBe(3);
  const port = freePort();
  await whileRunning(["forward", "dev", "0:localhost:1"], vault.env, async (context) => {
    const spec = `${port}:127.0.0.1:${target.port}`;
    const added = await run(["forward", "add", "dev", spec, "-D", "0"], vault.env);
    expect(added.err).toBe("");
    expect(added.out).toContain(`127.0.0.1:${port} -> dev 127.0.0.1:${target.port}   up\n`);
    expect(added.out).toContain("-> dev (SOCKS)   up\n");
    expect(await ask(port, new Uint8Array(3))).toStartWith("3 ");
    const list = await run(["forward", "ls"], vault.env);
    expect(list.out).toContain("VAULT  KIND  LISTEN");
    expect(list.out.split("\n")).toHaveLength(5);
    const json = JSON.parse((await run(["forward", "ls", "dev", "--json"], vault.env)).out) as {
      data: object[];
    };
    expect(json).toMatchObject({ schema: "fly-vault/forward-list", version: 1 });
    expect(json.data).toHaveLength(3);
    expect((await run(["forward", "add", "dev", spec], vault.env)).code).toBe(3);
    expect((await run(["forward", "add", "dev", "80:x"], vault.env)).code).toBe(2);
    const removed = await run(["forward", "rm", "dev", String(port)], vault.env);
    expect(removed).toMatchObject({ code: 0, err: "" });
    expect(await ask(port, new Uint8Array(3)).catch((e: Error) => e.name)).toBe("SocketError");
    expect((await run(["forward", "rm", String(port)], vault.env)).code).toBe(3);
    expect(context.err()).toBe("");
  });
  expect((await run(["forward", "ls"], vault.env)).out).toBe("");
});

test("rm takes none of several that listen on the same port, and says how to name one", async () => {
  const port = freePort();
  const words = ["forward", "dev", `${port}:localhost:1`, "-R", `127.0.0.2:${port}:localhost:2`];
  await whileRunning(words, vault.env, async () => {
    const both = await run(["forward", "rm", "dev", String(port)], vault.env);
    expect(both).toMatchObject({ code: 3, out: "" });
    expect(both.err).toContain(`2 forwards listen on ${port}`);
    expect(both.err).toMatch(/fix: .*-R/);
    expect((await run(["forward", "ls"], vault.env)).out.split("\n")).toHaveLength(4);
    const remote = await run(["forward", "rm", "dev", "-R", String(port)], vault.env);
    expect(remote).toMatchObject({ code: 0, err: "" });
    expect(remote.out).toContain("dev 127.0.0.2:");
    const local = await run(["forward", "rm", "dev", String(port)], vault.env);
    expect(local.out).toContain(`127.0.0.1:${port} -> dev`);
  });
});

test("rm looks at all processes before it takes one from any", async () => {
  const port = freePort();
  const here = ["forward", "dev", `${port}:localhost:1`];
  const there = ["forward", "dev", "-R", `127.0.0.2:${port}:localhost:2`];
  await whileRunning(here, vault.env, async () => {
    await whileRunning(there, vault.env, async () => {
      const both = await run(["forward", "rm", String(port)], vault.env);
      expect(both).toMatchObject({ code: 3, out: "" });
      expect(both.err).toContain(`2 forwards listen on ${port}`);
      const last = await run(["forward", "rm", `127.0.0.2:${port}`], vault.env);
      expect(last).toMatchObject({ code: 0, err: "" });
    });
  });
});

test("what the other process says to do is said on", async () => {
  // What is proposed in its place must still be free when it is taken.
  const at = { host: "127.0.0.1", port: freePort() };
  const taken = listenTcp(at, { onConnection: () => undefined });
  await whileRunning(["forward", "dev", "0:localhost:1"], vault.env, async () => {
    const added = await run(["forward", "add", "dev", `${taken.port}:localhost:1`], vault.env);
    const [, proposed = ""] = /choose another one: {2}(-L \d+:localhost:1)\n/.exec(added.err) ?? [];
    // As it is said it can be done.
    const again = await run(["forward", "add", "dev", ...proposed.split(" ")], vault.env);
    expect(again).toMatchObject({ code: 0, err: "" });
    const [, port = ""] = proposed.match(/-L (\d+):/) ?? [];
    expect((await run(["forward", "rm", "dev", "-L", port], vault.env)).code).toBe(0);
  });
  taken.close();
});

test("a process that lives and does not answer is named", async () => {
  const context = memoryContext({ env: vault.env });
  expect(prepareRegistry(vault.env)).toBe(true);
  const path = newRegisteredPath("forward", "dev", context);
  const silent = listenUnix(path, { onConnection: (stream) => stream.abort(0) });
  const words = `the forward of "dev" with pid ${process.pid} does not answer`;
  const list = await run(["forward", "ls"], vault.env);
  expect(list).toMatchObject({ code: 0, out: "", err: `${words}\n` });
  for (const what of ["add", "rm"]) {
    const { code, err } = await run(["forward", what, "dev", "3000"], vault.env);
    expect({ code, first: err.split("\n")[0] }).toEqual({ code: 3, first: `error: ${words}` });
  }
  silent.close();
});

test("every call and every status that is described was seen", () => {
  const described = Object.entries(description.paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { responses }]) =>
      Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`),
    ),
  );
  const unseen = described.filter((each) => !called.has(each));
  // What the vault itself would have to refuse.
  expect(
    unseen.filter((each) => !/(list-exec 502|exec (404|409|413|502)|DELETE .* 413)/.test(each)),
  ).toEqual([]);
});
