import Foundation
import Testing

/// The scripts of `hugepages/`, on a tree that stands in for /sys: nothing of the machine is changed.
@Suite struct HugepagesTests {
    /// A machine with some nodes, each with pages of both sizes; without nodes, one pool for all.
    private final class Machine {
        let root = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8))"
        private let nodes: [Int]

        init(nodes: [Int], reserved: Int = 0) {
            self.nodes = nodes
            for pool in allPools {
                try! FileManager.default.createDirectory(atPath: pool, withIntermediateDirectories: true)
                for name in ["nr_hugepages", "free_hugepages"] { write(reserved, "\(pool)/\(name)") }
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: root) }

        private var allPools: [String] {
            [2_048, 1_048_576].flatMap { size in nodes.isEmpty ? [pool(nil, size)] : nodes.map { pool($0, size) } }
        }

        func pool(_ node: Int?, _ size: Int = 2_048) -> String {
            let base = node.map { "\(root)/devices/system/node/node\($0)" } ?? "\(root)/kernel/mm"
            return "\(base)/hugepages/hugepages-\(size)kB"
        }

        private func write(_ number: Int, _ path: String) {
            try! "\(number)\n".write(toFile: path, atomically: false, encoding: .utf8)
        }

        func total(_ node: Int?, _ size: Int = 2_048) -> Int { read("\(pool(node, size))/nr_hugepages") }

        func setFree(_ number: Int, _ node: Int?) { write(number, "\(pool(node))/free_hugepages") }

        func setTotal(_ number: Int, _ node: Int?) { write(number, "\(pool(node))/nr_hugepages") }

        /// Writes to the number go nowhere; it reads as empty, which counts as 0.
        func giveNothing(_ node: Int?) throws {
            let path = "\(pool(node))/nr_hugepages"
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/null")
        }

        private func read(_ path: String) -> Int {
            Int(try! String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines))!
        }

        func run(_ script: String, _ arguments: String...) throws -> Repository.Outcome {
            try Repository.run(
                ["hugepages/\(script).sh"] + arguments,
                environment: ["BATON_SYSFS": root, "BATON_STATE": "\(root)/state"])
        }
    }

    @Test func reservingTwiceIsReservingOnce() throws {
        let machine = Machine(nodes: [0, 1], reserved: 10)
        #expect(try machine.run("reserve", "--pages", "64").status == 0)
        #expect(
            try machine.run("reserve", "--pages", "64").output == """
                node 0: 64 pages of 2M reserved for Baton, 74 in all
                node 1: 64 pages of 2M reserved for Baton, 74 in all

                """)
        #expect(machine.total(0) == 74)
        #expect(try machine.run("reserve", "--node", "1", "--pages", "32").status == 0)
        #expect(machine.total(0) == 74)
        #expect(machine.total(1) == 42)
    }

    @Test func onlyWhatWasTakenIsGivenBack() throws {
        let machine = Machine(nodes: [0], reserved: 10)
        #expect(try machine.run("reserve", "--pages", "64").status == 0)
        machine.setFree(74, 0)
        #expect(try machine.run("release").output == "node 0: 64 pages of 2M given back\n")
        #expect(machine.total(0) == 10)
        #expect(try machine.run("release").output == "")
        #expect(machine.total(0) == 10)
        #expect(!FileManager.default.fileExists(atPath: "\(machine.root)/state/hugepages"))
    }

    @Test func pagesInUseStay() throws {
        let machine = Machine(nodes: [0])
        #expect(try machine.run("reserve", "--pages", "64").status == 0)
        machine.setFree(20, 0)
        let first = try machine.run("release")
        #expect(first.status == 1)
        #expect(first.output.contains("44 pages of 2M on node 0 are in use"))
        #expect(machine.total(0) == 44)
        machine.setFree(44, 0)
        #expect(try machine.run("release").status == 0)
        #expect(machine.total(0) == 0)
    }

    @Test func pagesThatOthersTookAwayAreNotTakenTwice() throws {
        let machine = Machine(nodes: [0])
        #expect(try machine.run("reserve", "--pages", "64").status == 0)
        machine.setTotal(16, 0)
        machine.setFree(16, 0)
        #expect(try machine.run("release").status == 0)
        #expect(machine.total(0) == 0)
    }

    @Test func aKernelWithoutNodesIsNodeZero() throws {
        let machine = Machine(nodes: [])
        #expect(try machine.run("reserve", "--node", "0", "--size", "1G", "--pages", "2").status == 0)
        #expect(machine.total(nil, 1_048_576) == 2)
        #expect(machine.total(nil) == 0)
        #expect(try machine.run("status").output.contains("-     1G           2         0         2"))
    }

    @Test func lessThanAskedForIsAnError() throws {
        let machine = Machine(nodes: [0])
        // A kernel that gives nothing, whatever is written.
        try machine.giveNothing(0)
        let outcome = try machine.run("reserve", "--pages", "8")
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("the kernel gives 0 of 8 pages of 2M on node 0"))
    }

    @Test func aNodeThatIsNotThere() throws {
        let outcome = try Machine(nodes: [0]).run("reserve", "--node", "7", "--pages", "1")
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("this machine has no NUMA node 7 (nodes: 0"))
    }

    @Test(arguments: [
        ["--pages"], ["--pages", "many"], ["--pages", "1", "--size", "4M"], ["--pages", "1", "--node", "x"],
        ["--colour"], [],
    ]) func wrongArguments(_ arguments: [String]) throws {
        let outcome = try Repository.run(["hugepages/reserve.sh"] + arguments)
        #expect(outcome.status == 64)
        #expect(outcome.output.contains("--help"))
    }

    @Test(arguments: ["reserve", "status", "release"]) func help(_ script: String) throws {
        let outcome = try Repository.run(["hugepages/\(script).sh", "--help"])
        #expect(outcome.status == 0)
        #expect(outcome.output.hasPrefix("Usage: \(script).sh"))
    }
}
