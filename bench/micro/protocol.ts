import { FrameDecoder } from "../../src/protocol/frame.ts";
import { SessionClient } from "../../src/protocol/session-client.ts";
import { encodeSessionFrame } from "../../src/protocol/session-frame.ts";
import { OutputBudget } from "../../src/protocol/session-output.ts";
import { SessionState } from "../../src/protocol/session-server.ts";

/** What the protocol itself costs, without sockets: it must stay small beside the transport. */

const block = new Uint8Array(64 * 1024).fill(7);

console.log("| what | MB/s | CPU s/GB |");
console.log("|---|--:|--:|");
measure("encode 64 KiB of stdout", () => {
  let bytes = 0;
  for (let count = 0; count < 8000; count++)
    bytes += encodeSessionFrame({ kind: "stdout", offset: bytes, bytes: block }).length;
  return bytes;
});
for (const slice of [1350, 16_384, 65_536])
  measure(`decode slices of ${slice}`, () => decode(slice));
measure("a session: ring, frames, view, acknowledgements", session);

function decode(sliceBytes: number): number {
  const frame = encodeSessionFrame({ kind: "stdout", offset: 0, bytes: block });
  const stream = new Uint8Array(Buffer.concat(Array.from({ length: 200 }, () => frame)));
  const slices: Uint8Array[] = [];
  for (let from = 0; from < stream.length; from += sliceBytes)
    slices.push(stream.slice(from, from + sliceBytes));
  const decoder = new FrameDecoder();
  let bytes = 0;
  for (let round = 0; round < 40; round++) {
    for (const slice of slices) {
      decoder.feed(slice);
      for (let next = decoder.next(); next !== undefined; next = decoder.next())
        bytes += next.payload.length;
    }
  }
  return bytes;
}

/** Both ends of a session whose client keeps up, beside 200 idle ones that share the budget. */
function session(): number {
  const budget = new OutputBudget();
  for (let count = 0; count < 200; count++) new SessionState({ budget }).stdout.append(block);
  const state = new SessionState({ budget });
  const client = new SessionClient();
  const shown = { stdout: 0, stderr: 0 };
  const attachment = state.attach({ id: "bench", shown, holdsBack: true });
  const [down, up] = [new FrameDecoder(), new FrameDecoder()];
  while (client.shownOffsets.stdout_offset < 2e9) {
    while (state.readableBytes("stdout") >= block.length) state.stdout.append(block);
    for (let sent = attachment.poll(); sent !== undefined; sent = attachment.poll()) {
      down.feed(sent);
      for (let next = down.next(); next !== undefined; next = down.next()) client.receive(next);
    }
    for (let sent = client.poll(); sent !== undefined; sent = client.poll()) {
      up.feed(sent);
      for (let next = up.next(); next !== undefined; next = up.next()) attachment.receive(next);
    }
  }
  return client.shownOffsets.stdout_offset;
}

function measure(what: string, run: () => number): void {
  run();
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const bytes = run();
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const rate = (bytes / 1e6 / seconds).toFixed(0);
  console.log(`| ${what} | ${rate} | ${((user + system) / 1e6 / (bytes / 1e9)).toFixed(2)} |`);
}
