/** Texts of `fly-vault help TOPIC`. */
export const topics = {
  config: `CONFIGURATION
  $FLY_VAULT_CONFIG, else $XDG_CONFIG_HOME/fly-vault/config.toml, else
  ~/.config/fly-vault/config.toml. With a token or key in it, its mode must be 0600;
  nobody else may be able to write its folder. fly-vault add writes it for you.

  default_vault = "my-dev"           # by: fly-vault vault use my-dev

  [vault.my-dev]
  address = "my-dev.example:8443"    # host:port of the machine or proxy
  org = "my-org"                     # Fly organisation that must vouch for it
  app = "my-dev-vault"               # app that must be attested
  machine_id = "148e21ea7e46e8"      # else the first one seen is remembered
  access_token = "fvt1_..."          # or one of (fly-vault token set my-dev):
  # token = { keychain = true }
  # token = { file = "~/.config/fly-vault/my-dev.token" }
  # token = { command = ["op", "read", "op://dev/my-dev/token"] }
  # admission_key = "fva1_..."       # without it a machine that has one is silent
  # transport = "auto"               # quic: UDP alone; tcp: TLS over TCP, by a proxy
  # web_address = "wss://.../v1/datagrams"  # for tcp, else wss://HOST of address
  forward = ["8080:localhost:8080"]  # used when no --forward is given
  rootfs = "~/rootfs/dev.tar.zst"    # tar, tar.gz or tar.zst, uploaded
  # rootfs_url = "https://..."       # or fetched by the machine itself
  # rootfs_sha256 = "..."            # refuse any other archive
  # issuer = "https://..."           # instead of https://oidc.fly.io/<org>
  # attest = { image_digests = ["sha256:..."] }  # and see: fly-vault help trust

  The vault may be left out: FLY_VAULT_VAULT names it, or .fly-vault.toml in this
  folder or one above, or default_vault, or it is the only one. Such a file may hold
  nothing but this; it must be yours:

  vault = "my-dev"
  forward = ["3000"]                 # in place of the vault's
  [env]                              # for shells and commands there
  RAILS_ENV = "development"
`,
  environment: `ENVIRONMENT
  FLY_VAULT_CONFIG      configuration file
  FLY_VAULT_HOME        one folder for configuration, state and cache
  FLY_VAULT_VAULT       the vault that is meant when none is named
  FLY_VAULT_NO_INPUT    ask nothing; so does CI
  FLY_VAULT_TOKEN_FILE  file with the access token
  FLY_VAULT_TOKEN       the access token; taken out before anything is started
  XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME
                        where fly-vault/ folders lie
  TERM, COLORTERM, LANG, LC_*
                        passed on to terminals in the vault
  CI, TERM=dumb         no redrawn progress
  NO_COLOR, CLICOLOR=0  no dim words
  No .env or bunfig.toml of the current folder is ever read.
`,
  trust: `WHOM FLY-VAULT TRUSTS
  On every connection Fly signs who is at its other end: organisation, app, machine,
  image. That is checked before anything derived from the token is sent, and bound to
  this very TLS channel. fly-vault verify VAULT makes a new one and shows it.

  Always demanded       org and app of the configuration
  machine_id            that machine and no other; without it the first one seen is
                        remembered ("first use") and any other refused
  attest = { ... }      more, each of it optional:
    machine = "ID"                    as machine_id
    image_digests = ["sha256:..."]    one of these images
    pin_image = true                  the image first seen
    min_init_version = "0.2.0"        no older init; told by the machine itself
  A machine or image that was changed on purpose: fly-vault trust VAULT shows both,
  asks, and remembers the new one. What the configuration says stays in force.

  NOT COVERED
    Fly's own hosts, and whoever has an API token of the organisation
    data at rest: the volume is not encrypted by us
    which process in the machine answers: a guest that broke out of its namespaces
    could ask for the same evidence, which is why the token is proven by both sides
    region, image name and init version are shown as told; the last is not signed
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
