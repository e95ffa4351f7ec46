import { createReadStream, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { relayFds } from "../../../src/roles/proxy/relay-plan.ts";
import { recordBytes } from "../../../src/roles/proxy/broker-record.ts";

/**
 * `FOLDER proxy relay PLAN` or `FOLDER proxy web PLAN`: says and hears what the real ones would, for a test
 * that is connected to FOLDER/relay or FOLDER/web. To the test: JSON lines of what it hears. From the
 * test: JSON lines `{fd, hex}` of what it is to say.
 */
const [folder = "", , role = "", plan = ""] = process.argv.slice(2);

const socket = await Bun.connect({
  unix: join(folder, role),
  socket: { data: (_, bytes) => obey(bytes), close: () => process.exit(3) },
});

function tell(message: unknown): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

let orders = "";
function obey(bytes: Uint8Array): void {
  orders += new TextDecoder().decode(bytes);
  const lines = orders.split("\n");
  orders = lines.pop() ?? "";
  for (const line of lines) {
    const { fd, hex } = JSON.parse(line) as { fd: number; hex: string };
    writeSync(fd, Buffer.from(hex, "hex"));
  }
}

tell({ kind: "started", pid: process.pid, plan: JSON.parse(plan), env: process.env });
process.on("SIGTERM", () => {
  tell({ kind: "sigterm" });
  process.exit(0);
});

if (role === "relay") {
  tell({ kind: "secrets", text: readFileSync(relayFds.secrets, "utf8") });
  let rest = Buffer.alloc(0);
  createReadStream("", { fd: relayFds.records }).on("data", (bytes) => {
    rest = Buffer.concat([rest, Buffer.from(bytes)]);
    for (; rest.length >= recordBytes; rest = rest.subarray(recordBytes))
      tell({ kind: "record", hex: rest.subarray(0, recordBytes).toString("hex") });
  });
} else {
  let text = "";
  for await (const bytes of Bun.stdin.stream()) {
    text += new TextDecoder().decode(bytes);
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) tell({ kind: "line", line: JSON.parse(line) });
  }
}
