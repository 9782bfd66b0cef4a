"""The import-linter contract `doors`: a folder's modules are reached through its `__init__`."""

from importlinter import Contract, ContractCheck, fields, output


class DoorsContract(Contract):
    """No module is imported from outside of its folder, but for those that are listed as public.

    A folder is a package inside one of `packages`; its door is its `__init__`.
    """

    packages = fields.ListField(subfield=fields.StringField())
    public_modules = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph, verbose):
        public = set(self.public_modules or ())
        wrong = []
        for package in self.packages:
            for folder in sorted(graph.find_children(package)):
                inside = {folder, *graph.find_descendants(folder)}
                for module in sorted(inside - {folder} - public):
                    for importer in sorted(graph.find_modules_that_directly_import(module)):
                        if importer not in inside:
                            details = graph.get_import_details(importer=importer, imported=module)
                            wrong.append((importer, module, details[0]["line_number"]))
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check):
        for importer, module, line in check.metadata["wrong"]:
            folder = module.rpartition(".")[0]
            output.print_error(f"{importer}:{line} imports {module}; import it from {folder}")
