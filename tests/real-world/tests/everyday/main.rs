//! Real projects from the public Go mirror, bundled and then worked on without a network: what `.ci/run` has the time for, and
//! (ignored) what only `tests/full` has. One program, so that a test works while another waits for the network.

mod closure;
mod database;
mod forgeries;
mod levels;
mod projects;
mod toolchains;

use modferry_real_world::Project;

const COBRA: Project = Project { module: "github.com/spf13/cobra", version: "v1.10.2" };
const CONTROLLER_RUNTIME: Project = Project { module: "sigs.k8s.io/controller-runtime", version: "v0.25.2" };
const HUGO: Project = Project { module: "github.com/gohugoio/hugo", version: "v0.160.0" };
const KUBERNETES: Project = Project { module: "k8s.io/kubernetes", version: "v1.36.3" };
const PROMETHEUS: Project = Project { module: "github.com/prometheus/prometheus", version: "v0.316.0" };
