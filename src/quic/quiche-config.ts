import quiche from "@matrixai/quic/native/quiche.js";
import type { Config } from "@matrixai/quic/native/types.js";
import { checkBytes, checkInteger } from "./argument.ts";
import { quicLimits } from "./limits.ts";

export type CongestionControl = "reno" | "cubic" | "bbr";

export interface TransportSettings {
  readonly alpn: string;
  readonly datagramBytesMax: number;
  readonly idleMs: number;
  readonly connectionWindow: number;
  readonly streamWindow: number;
  readonly connectionWindowMax: number;
  readonly streamWindowMax: number;
  /** How many streams the peer may have open towards us. */
  readonly peerStreamsMax: number;
  readonly congestionControl: CongestionControl;
}

export interface ServerIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly certificateDer: Uint8Array;
}

/**
 * The client takes any certificate (the login judges it), yet BoringSSL still verifies the server's
 * signature over the handshake: that is what `verifyPeer` together with `verifyAllowFail` means.
 */
export function clientConfig(settings: TransportSettings): Config {
  const config = quiche.Config.withBoringSslCtx(true, true, null, null, null, signatures);
  return applied(config, settings);
}

/** One config per connection (26 us), because the reset token is a setting of the config. */
export function serverConfig(
  settings: TransportSettings,
  identity: ServerIdentity,
  resetToken: bigint,
): Config {
  const key = checkBytes("private key", utf8(identity.privateKeyPem), 1, pemBytesMax);
  const certificate = checkBytes("certificate", utf8(identity.certificatePem), 1, pemBytesMax);
  const config = quiche.Config.withBoringSslCtx(
    false,
    false,
    null,
    [key],
    [certificate],
    signatures,
  );
  config.setStatelessResetToken(checkToken(resetToken));
  return applied(config, settings);
}

function checkToken(token: bigint): bigint {
  if (typeof token !== "bigint" || token < 0n || token >= 1n << 128n) {
    throw new RangeError("A stateless reset token must be a number of 128 bits");
  }
  return token;
}

function applied(config: Config, settings: TransportSettings): Config {
  const datagramBytes = checkInteger(
    "datagramBytesMax",
    settings.datagramBytesMax,
    quicLimits.initialDatagramBytesMin,
    quicLimits.datagramBytesOptionMax,
  );
  checkBytes("alpn", utf8(settings.alpn), 1, 255);
  config.logKeys();
  config.grease(false);
  config.setApplicationProtos([settings.alpn]);
  config.setMaxIdleTimeout(size("idleMs", settings.idleMs));
  // We take any size; what we send is what the path is known to carry.
  config.setMaxRecvUdpPayloadSize(quicLimits.datagramBytesMax);
  config.setMaxSendUdpPayloadSize(datagramBytes);
  config.setInitialMaxData(size("connectionWindow", settings.connectionWindow));
  const window = size("streamWindow", settings.streamWindow);
  config.setInitialMaxStreamDataBidiLocal(window);
  config.setInitialMaxStreamDataBidiRemote(window);
  config.setInitialMaxStreamDataUni(0);
  config.setInitialMaxStreamsBidi(size("peerStreamsMax", settings.peerStreamsMax));
  config.setInitialMaxStreamsUni(0);
  config.setMaxConnectionWindow(size("connectionWindowMax", settings.connectionWindowMax));
  config.setMaxStreamWindow(size("streamWindowMax", settings.streamWindowMax));
  config.setActiveConnectionIdLimit(quicLimits.connectionIds);
  config.setDisableActiveMigration(true);
  if (!congestionControls.has(settings.congestionControl)) {
    throw new RangeError(`Unknown congestion control: ${settings.congestionControl}`);
  }
  config.setCcAlgorithmName(settings.congestionControl);
  config.enablePacing(false);
  return config;
}

const size = (name: string, value: number): number => checkInteger(name, value, 0, 2 ** 32);
const congestionControls: ReadonlySet<string> = new Set(["reno", "cubic", "bbr"]);
const pemBytesMax = 16_384;
/** The only kind of key we make; nothing else need be spoken. */
const signatures = "ecdsa_secp256r1_sha256";
const encoder = new TextEncoder();
const utf8 = (text: string): Uint8Array => encoder.encode(text);
