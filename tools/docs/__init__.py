"""What the documentation site is built with, beside mkdocs: pages that are generated, and files outside docs/."""
