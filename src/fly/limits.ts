/** Bounds of what we take from Fly, and for how long we believe it. Sizes are bytes, times milliseconds. */
export const flyLimits = {
  /** Evidence (JWT); the whole is bounded by `jwtBytesMax` of the protocol. */
  jwtHeaderBytesMax: 512,
  jwtDepthMax: 4,
  jwtMembersMax: 64,
  kidCharactersMax: 128,
  claimCharactersMax: 512,

  /** Times inside evidence. Clocks of laptops and of machines just resumed are a little off. */
  lifetimeMs: 900_000,
  issuedBeforeHelloMs: 60_000,
  clockAheadMs: 60_000,
  expiredMs: 30_000,

  /** Signing keys (JWKS). */
  jwksBytesMax: 64 * 1024,
  jwksKeysMax: 16,
  jwksTimeoutMs: 5000,
  jwksFreshMs: 10 * 60_000,
  jwksStaleMs: 24 * 60 * 60_000,
  jwksCooldownMs: 30_000,
  rsaBitsMin: 2048,
  rsaBitsMax: 8192,
  issuersMax: 64,

  /** Evidence from the machine's own API socket. */
  mintTimeoutMs: 3000,
  mintBytesMax: 8 * 1024,
} as const;
