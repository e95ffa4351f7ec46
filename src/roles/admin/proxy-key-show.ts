import { createHmac } from "node:crypto";
import { jsonDocument } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import { renderTable } from "../../cli/table.ts";
import type { ProxyMaster } from "../../quic/proxy-master.ts";
import { keyFileFlag, readProxyMasters } from "./proxy-key-file.ts";

export const proxyKeyShow = defineCommand({
  name: "proxy-key show",
  summary: "Print epochs and fingerprints of the masters in a key file, never the masters",
  flags: { "key-file": keyFileFlag, json: { summary: "as JSON" } },
  examples: ["fly-vault-admin proxy-key show --key-file proxy.key"],
  run: async ({ flags }, context) => {
    const masters = await readProxyMasters(flags["key-file"], context);
    await context.stdout.write(flags.json ? renderJson(masters) : renderMasters(masters));
    return 0;
  },
});

/** For people: what to compare, and nothing that must be kept secret. */
export function renderMasters(masters: readonly ProxyMaster[]): string {
  return renderTable(
    ["EPOCH", "FINGERPRINT", "USE"],
    masters.map((each, at) => [String(each.epoch), fingerprint(each), useOf(at)]),
  );
}

function renderJson(masters: readonly ProxyMaster[]): string {
  const data = masters.map((each, at) => ({
    epoch: each.epoch,
    fingerprint: fingerprint(each),
    use: useOf(at),
  }));
  return jsonDocument("proxy-key", data);
}

function useOf(place: number): string {
  return place === 0 ? "current" : "older";
}

/** Tells masters apart; 64 bits of a hash of 256 random ones lead nowhere. */
function fingerprint({ master }: ProxyMaster): string {
  return createHmac("sha256", master).update("fly-vault fingerprint 1").digest("hex").slice(0, 16);
}
