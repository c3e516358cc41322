import ArgumentParser
import Operator

struct Candidates: Question {
    static let configuration = CommandConfiguration(
        abstract: "Lists the rules that make requests candidates, in order of precedence.",
        discussion: "READY counts the rule's proxies that can be asked now. Why a request is none: `batonctl explain`.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String { try console.candidates() }
}

struct Routes: Question {
    static let configuration = CommandConfiguration(
        abstract: "Lists the routes: connections with a destination of their own, before any rule.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String { try console.routes() }
}
