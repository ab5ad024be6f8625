"""One module a group of commands; `services.cli.main` names them and imports a module when its command is used."""
