# One server, for the hub of one machine. Others reach its HTTP API; there is nobody to gossip with.
server           = true
bootstrap_expect = 1
node_name        = "hub"
datacenter       = "hub"
data_dir         = "/consul/data"
bind_addr        = "127.0.0.1"
client_addr      = "0.0.0.0"
log_level        = "WARN"

ui_config { enabled = true }
# A server alone need not wait long for others before it leads.
performance { raft_multiplier = 1 }
ports { grpc = -1, grpc_tls = -1 }

disable_update_check        = true
disable_anonymous_signature = true
disable_remote_exec         = true
enable_script_checks        = false
leave_on_terminate          = false
