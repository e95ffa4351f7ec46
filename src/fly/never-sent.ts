/**
 * Whether an error of `fetch` proves that the request never left: no address, no way there, nobody
 * listening, or a certificate that is not theirs. Anything else may have come after it: Bun says "The
 * TLS handshake failed" (EPROTO) of a connection, too, that is spoilt long after its handshake.
 */
export function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? String(error.code) : "";
  if (nobodyThere.test(code) || badCertificate.test(code)) return true;
  // The kernel has these for connections that were up, too.
  return noWay.test(code) && error.message.includes("Unable to connect");
}

const nobodyThere = /^(?:ConnectionRefused|ECONNREFUSED|ENOTFOUND|EAI_[A-Z]+|FailedToOpenSocket)$/u;
const noWay = /^(?:EHOSTUNREACH|ENETUNREACH)$/u;
/** The names of OpenSSL, and Node's for a name that is not in it. */
const badCertificate =
  /^(?:CERT_[A-Z_]+|[A-Z_]*SELF_SIGNED_CERT[A-Z_]*|UNABLE_TO_(?:GET|VERIFY|DECODE)_[A-Z_]+|ERR_TLS_CERT_[A-Z_]+|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH)$/u;
