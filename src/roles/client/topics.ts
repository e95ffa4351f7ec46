/** Texts of `fly-vault help TOPIC`. */
export const topics = {
  config: `CONFIGURATION
  $FLY_VAULT_CONFIG, else $XDG_CONFIG_HOME/fly-vault/config.toml, else
  ~/.config/fly-vault/config.toml. With a token or key in it, its mode must be 0600.

  [vault.my-dev]
  address = "my-dev.example:8443"    # host:port of the machine or proxy
  org = "my-org"                     # Fly organisation that must vouch for it
  app = "my-dev-vault"               # app that must be attested
  machine_id = "148e21ea7e46e8"      # else the first one seen is remembered
  access_token = "fvt1_..."          # or one of:
  # token = { file = "~/.config/fly-vault/my-dev.token" }
  # token = { command = ["op", "read", "op://dev/my-dev/token"] }
  # admission_key = "fva1_..."       # without it a machine that has one is silent
  # transport = "auto"               # quic: UDP alone; tcp: TLS over TCP, by a proxy
  # web_address = "wss://.../v1/datagrams"  # for tcp, else wss://HOST of address
  forward = ["8080:localhost:8080"]  # these three are used when no forward is said
  # reverse_forward = ["9000:localhost:9000"]
  # dynamic_forward = ["1080"]
  rootfs = "~/rootfs/dev.tar.zst"    # tar, tar.gz or tar.zst, uploaded
  # rootfs_url = "https://..."       # or fetched by the machine itself
  # rootfs_sha256 = "..."            # refuse any other archive
  # issuer = "https://..."           # instead of https://oidc.fly.io/<org>
`,
  environment: `ENVIRONMENT
  FLY_VAULT_CONFIG      configuration file
  FLY_VAULT_HOME        one folder for configuration, state and cache
  FLY_VAULT_TOKEN_FILE  file with the access token
  FLY_VAULT_TOKEN       the access token; taken out before anything is started
  XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME
                        where fly-vault/ folders lie
  TERM, COLORTERM, LANG, LC_*
                        passed on to terminals in the vault
  CI, TERM=dumb         no redrawn progress
  No .env or bunfig.toml of the current folder is ever read.
`,
  forwards: `FORWARDS
  -L  here to there: listens on this computer, leads into the vault
  -R  there to here: listens in the vault, leads to this computer
  -D  a SOCKS proxy here (4, 4a, 5); names are resolved in the vault
  -W  standard input and output joined to HOST:PORT or /path.sock

  3000                          the same port at both ends
  8080:3000                     localhost:3000 of the other end
  5432:db:5432                  another host, as the other end sees it
  127.0.0.2:8080:localhost:80   an address of its own to listen on
  [::1]:8080:[fdaa::3]:80       IPv6 in brackets
  8000-8010, 8000-8010:db:9000-9010
  0:localhost:3000              any free port, which is said
  5353:10.0.0.1:53/udp          UDP, with -L alone
  /tmp/pg.sock:/run/postgresql/.s.PGSQL.5432, 8080:/run/x.sock
  Others than this computer, or the vault, may connect only with --gateway.

  fly-vault forward VAULT SPEC... [-R SPEC] [-D SPEC]    until Ctrl-C
  fly-vault forward ls | add SPEC | rm PORT              while one runs
`,
  escapes: `ESCAPE KEYS
  At the start of a line, with a terminal:
    ~.  leave; the session goes on
    ~~  send ~
    ~s  how the link is
    ~r  reconnect now
    ~#  forwards
    ~?  this list
  --escape none switches them off.
`,
  "exit-codes": `EXIT CODES
    0    done
    1    failed for a reason not below
    2    usage: bad flag, argument, configuration value
    3    not found: vault, session, file
    4    access token missing or refused
    5    attestation stopped it
    6    could not reach: network, machine not up, busy
    7    conflict: port in use, session taken over
    8    partly done
    9    versions do not fit
  124    --timeout ran out
  125    the command could not be started
  126    found but not executable
  127    not found
  128+n  ended by signal n (130 Ctrl-C, 143 TERM, 129 HUP)
  255    no link, or lost for good
  connect and exec otherwise return the remote code, 0 to 255.
  Every error has a code: fly-vault explain CODE.
`,
} as const;
