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
  # terminfo = "push"                # fallback: xterm-256color; off: TERM as it is
  forward = ["8080:localhost:8080"]  # used when no --forward is given
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
  LANG, LC_*            passed on; C.UTF-8 where the vault has no such locale
  TERM, COLORTERM       passed on to terminals in the vault
  TERMINFO, TERMINFO_DIRS, HOME
                        where a description of the terminal is looked for, which
                        travels where the vault has none
  CI, TERM=dumb         no redrawn progress
  No .env or bunfig.toml of the current folder is ever read.
`,
  escapes: `ESCAPE KEYS
  At the start of a line, with a terminal:
    ~.   leave; the session goes on
    ~~   send ~
    ~x   end the session: asks, then hangs up (SIGHUP)
    ~#   forwards
    ~C   command line: -L SPEC adds a forward, -KL PORT takes it away
    ~s   how the link is
    ~r   reconnect now
    ~B   break: interrupt what is in the foreground (SIGINT)
    ~^Z  suspend this client (fg brings it back)
    ~?   this list
  They act at once, whatever the link, the session or the window does; before
  there is a session ~. does what Ctrl-C does. Anything else after ~ is passed on.
  --escape '^]' or another character takes the place of ~; --escape none
  switches them off.
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
