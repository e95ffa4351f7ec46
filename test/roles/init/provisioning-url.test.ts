import { expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { Provisioned } from "../../../src/protocol/message.ts";
import { TestMachine } from "./machine.ts";
import {
  archiveOf,
  cancel,
  codeOf,
  markOf,
  ProvisionStream,
  sha256Of,
} from "./provision-client.ts";

setDefaultTimeout(120_000);

/** Serves an archive; `/slow` its first half in small pieces, and the rest when it is told to. */
class ArchiveServer implements Disposable {
  readonly #server: Server;
  readonly #rest = Promise.withResolvers<void>();
  asked = 0;

  private constructor(archive: Uint8Array) {
    this.#server = createServer((request, response) => {
      this.asked += 1;
      response.setHeader("content-length", archive.length);
      if (request.url === "/huge") {
        response.writeHead(200, { "content-length": 2 ** 50 }).write(archive);
      } else if (request.url === "/whole") {
        response.end(archive);
      } else if (request.url === "/slow") {
        void this.#trickle(archive, response);
      } else {
        response.writeHead(404, { "content-length": 0 }).end();
      }
    });
  }

  static async open(archive: Uint8Array): Promise<ArchiveServer> {
    const server = new ArchiveServer(archive);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  async #trickle(archive: Uint8Array, response: ServerResponse): Promise<void> {
    const piece = Math.floor(archive.length / 20);
    for (let index = 0; index < 10; index++) {
      response.write(archive.subarray(index * piece, (index + 1) * piece));
      // Slower than the unpacking process reports.
      await Promise.race([this.#rest.promise, Bun.sleep(100)]);
    }
    await this.#rest.promise;
    response.end(archive.subarray(10 * piece));
  }

  source(path: string) {
    const address = this.#server.address();
    const port = typeof address === "object" ? address?.port : 0;
    return { kind: "url", url: `http://127.0.0.1:${port}${path}` } as const;
  }

  goOn(): void {
    this.#rest.resolve();
  }

  [Symbol.dispose](): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const archive = archiveOf("downloaded");
const sha256 = sha256Of(archive);

test("from a URL, and a server that does not have it", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  using server = await ArchiveServer.open(archive);
  const from = async (path: string): Promise<Provisioned> =>
    (await ProvisionStream.open(machine, { source: server.source(path), sha256 })).result();
  expect(await codeOf(from("/nothing"))).toBe("download-failed");
  expect((await from("/whole")).sha256).toBe(sha256);
  expect(await markOf(machine)).toBe("downloaded");
});

test("an archive larger than the volume is refused from its announcement", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  using server = await ArchiveServer.open(archive);
  const stream = await ProvisionStream.open(machine, { source: server.source("/huge"), sha256 });
  expect(await codeOf(stream.result())).toBe("disk-full");
  expect([...stream.phases]).toEqual(["download"]);
});

test("progress begins with the download and knows its size; a client that comes back finds it going on", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  using server = await ArchiveServer.open(archive);
  const wish = { id: "a", source: server.source("/slow"), sha256 };
  const first = await ProvisionStream.open(machine, wish);
  first.result().catch(() => undefined);
  while ((first.latest?.received_bytes ?? 0) === 0) await Bun.sleep(10);
  expect([...first.phases]).toEqual(["download", "unpack"]);
  expect(first.latest?.total_bytes).toBe(archive.length);
  first.drop();
  const again = await ProvisionStream.open(machine, wish);
  server.goOn();
  expect((await again.result()).sha256).toBe(sha256);
  expect(server.asked).toBe(1);
  expect(await markOf(machine)).toBe("downloaded");
});

test("the download goes on without its client, and to the end", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  using server = await ArchiveServer.open(archive);
  (await ProvisionStream.open(machine, { source: server.source("/slow"), sha256 })).drop();
  while (server.asked === 0) await Bun.sleep(10);
  server.goOn();
  await machine.untilLogged('"event":"workload started"');
  expect(await markOf(machine)).toBe("downloaded");
});

test("a download is cancelled, before the server answers and after", async () => {
  await using machine = await TestMachine.boot({ rootfs: null });
  using server = await ArchiveServer.open(archive);
  using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const nowhere = { kind: "url", url: `http://127.0.0.1:${silent.port}/` } as const;
  for (const source of [nowhere, server.source("/slow")]) {
    const id = `download-${source.url.length}`;
    const stream = await ProvisionStream.open(machine, { id, source, sha256 });
    const told = stream.result();
    told.catch(() => undefined);
    if (source !== nowhere) while (!stream.phases.has("unpack")) await Bun.sleep(10);
    expect(await cancel(machine, id)).toBe(true);
    expect(await codeOf(told)).toBe("cancelled");
    expect((await machine.status()).vm_state).toBe("cold");
  }
});
