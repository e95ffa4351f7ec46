import type { DatagramGate } from "../../src/quic/carrier.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { Endpoint } from "../../src/quic/endpoint.ts";

/** A client that dials may just have been given the port that was ours. */
export async function listenAgain(port: number, gate?: DatagramGate): Promise<Endpoint> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await listen(port, gate);
    } catch (error) {
      if (tries === 80) throw error;
      await Bun.sleep(100);
    }
  }
}

export function listen(port: number, gate?: DatagramGate): Promise<Endpoint> {
  return Endpoint.open({
    bind: { host: "127.0.0.1", port },
    server: selfSignedCertificate(),
    ...(gate === undefined ? {} : { gate }),
  });
}
