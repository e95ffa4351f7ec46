import { expect, test } from "bun:test";
import { listeningSockets, parseSockets } from "../../src/system/listening-sockets.ts";
import { listenTcp } from "../../src/system/tcp-stream.ts";

const head =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  inode\n";
const line = (local: string, state: string, inode: string | number): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1\n`;

test("addresses are read as people write them, and only what listens is taken", () => {
  const text = [
    head,
    line("0100007F:1435", "0A", 11),
    line("00000000:0016", "0A", 12),
    line("00000000000000000000000000000000:0BB8", "0A", 13),
    line("00000000000000000000000001000000:0BB9", "0A", 14),
    line("0000000000000000FFFF00000100007F:0BBA", "0A", 15),
    line("B80D0120000000000000000001000000:0BBB", "0A", 16),
    line("0100007F:9999", "01", 17),
    line("0100007F:9999", "0A", "x"),
    line("gone:9999", "0A", 18),
    "   1: 0100007F:13",
  ].join("");
  expect(parseSockets(text, "0A").map(({ host, port, link }) => `${host} ${port} ${link}`)).toEqual(
    [
      "127.0.0.1 5173 socket:[11]",
      "0.0.0.0 22 socket:[12]",
      ":: 3000 socket:[13]",
      "::1 3001 socket:[14]",
      "127.0.0.1 3002 socket:[15]",
      "2001:db8::1 3003 socket:[16]",
    ],
  );
});

test("the kernel's own list has what we open, and not what we closed", () => {
  const options = { onConnection: () => undefined };
  const listening = [
    listenTcp({ host: "127.0.0.3", port: 0 }, options),
    listenTcp({ host: "::1", port: 0 }, options),
  ];
  // Others may have the same port at other addresses.
  const places = new Set(["127.0.0.3", "::1"].map((host, at) => `${host} ${listening[at]?.port}`));
  const ours = () =>
    listeningSockets("tcp").filter(({ host, port }) => places.has(`${host} ${port}`));
  expect(
    ours()
      .map(({ host }) => host)
      .toSorted(),
  ).toEqual(["127.0.0.3", "::1"]);
  for (const one of listening) one.close();
  expect(ours()).toEqual([]);
});
