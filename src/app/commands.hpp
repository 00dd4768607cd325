#pragma once

namespace CLI {
class App;
}

namespace haechi::app {

// Each adds its subcommand; `code` becomes the exit code of the one that ran.
void add_serve(CLI::App& cli, int& code);
void add_user(CLI::App& cli, int& code);
void add_config(CLI::App& cli, int& code);
void add_vault(CLI::App& cli, int& code);
void add_settings(CLI::App& cli, int& code);
void add_backup(CLI::App& cli, int& code);
void add_sites(CLI::App& cli, int& code);
void add_audit(CLI::App& cli, int& code);
void add_drill(CLI::App& cli, int& code);

}  // namespace haechi::app
