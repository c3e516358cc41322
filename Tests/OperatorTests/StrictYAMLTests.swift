import StrictYAML
import Testing

/// What the reader of configuration files says of good and bad files.
@Suite struct StrictYAMLTests {
    private enum Colour: String, CaseIterable { case red, green, blue }

    private struct Everything: Equatable {
        var text = ""
        var number = 0
        var ratio = 0.0
        var flag = false
        var wait: UInt64 = 0
        var size = 0
        var colour = "red"
        var ports: [UInt16] = []
        var inner = ""
        var people: [String] = []
        var keys: [UInt8: String] = [:]
    }

    private static func everything(_ section: YAMLSection) -> Everything {
        var all = Everything()
        all.text = section.value("text", .string, default: "none")
        all.number = section.value("number", .integer(in: -5...70_000), default: 1)
        all.ratio = section.value("ratio", .number(in: 0...10), default: 0.5)
        all.flag = section.value("flag", .bool, default: false)
        all.wait = section.value("wait", .duration(in: 1...3_600_000_000), default: 1_000)
        all.size = section.value("size", .bytes(in: 1...1 << 30), default: 1)
        all.colour = section.value("colour", YAMLKind<Colour>.choice, default: .red).rawValue
        all.ports = section.value("ports", .list(of: .integer(in: 1...65_535)), default: [])
        all.inner = section.section("inner") { $0.value("name", .string, default: "default") }
        all.people = section.sections("people") { $0.required("name", .string) }
        for (key, value) in section.dictionary("keys", keys: .integer(in: 1...UInt8.max), values: .string) {
            all.keys[key.value] = value.value
        }
        return all
    }

    private static func read(_ text: String) -> (Everything, [String]) {
        do {
            let (value, problems) = try YAMLFile.parse(text, name: "demo.yaml").read(everything)
            return (value, problems.map(\.description))
        } catch {
            return (Everything(), [error.description])
        }
    }

    @Test func everyKindIsRead() {
        let (all, problems) = Self.read(
            """
            text: on
            number: 65_536
            ratio: 2.5
            flag: on
            wait: 1.5s
            size: 64KiB
            colour: green
            ports: [80, 443]
            inner: { name: "x y" }
            people:
              - name: ann
              - name: bob
            keys: { 1: /etc/one, 7: /etc/seven }
            """)
        #expect(problems.isEmpty)
        #expect(all.text == "on")
        #expect(all.number == 65_536)
        #expect(all.ratio == 2.5)
        #expect(all.flag)
        #expect(all.wait == 1_500_000)
        #expect(all.size == 65_536)
        #expect(all.colour == "green")
        #expect(all.ports == [80, 443])
        #expect(all.inner == "x y")
        #expect(all.people == ["ann", "bob"])
        #expect(all.keys == [1: "/etc/one", 7: "/etc/seven"])
    }

    @Test(arguments: ["", "# nothing\n", "---\n", "~"]) func anEmptyFileIsAllDefaults(_ text: String) {
        let (all, problems) = Self.read(text)
        #expect(problems.isEmpty)
        #expect(all.inner == "default")
        #expect(all.wait == 1_000)
    }

    @Test func aMisspeltKeyNamesTheNearest() {
        let (_, problems) = Self.read("text: a\ninner:\n  nmae: b\n")
        #expect(problems == ["demo.yaml:3:3: unknown key 'nmae': did you mean 'name'? (known keys here: name)"])
    }

    @Test func aKeyFarFromAllNamesNone() {
        let (_, problems) = Self.read("inner: { zebra: 1 }\n")
        #expect(problems == ["demo.yaml:1:10: unknown key 'zebra': (known keys here: name)"])
    }

    @Test func allProblemsComeAtOnceInOrder() {
        let (_, problems) = Self.read("ports: [80, http, 70000]\nnumber: [1]\nflag: \"true\"\nwait: 20\ncolour: gren\n")
        #expect(
            problems == [
                "demo.yaml:1:13: an entry of 'ports' expects an integer between 1 and 65535, but 'http' stands here: "
                    + "write a number in that range",
                "demo.yaml:1:19: an entry of 'ports' expects an integer between 1 and 65535, but '70000' stands here: "
                    + "write a number in that range",
                "demo.yaml:2:9: 'number' expects an integer between -5 and 70000, but a list stands here: "
                    + "write a number in that range",
                "demo.yaml:3:7: 'flag' expects true or false, but text in quotes stands here: remove the quotes",
                "demo.yaml:4:7: 'wait' expects a duration between 1us and 1h, but '20' stands here: "
                    + "write a number with one of the units us, ms, s, min, h, such as 20ms",
                "demo.yaml:5:9: 'colour' expects one of red, green, blue, but 'gren' stands here: "
                    + "did you mean 'green'?",
            ])
    }

    @Test func aRepeatedKeyIsAnError() {
        let (_, problems) = Self.read("text: a\nnumber: 1\ntext: b\n")
        #expect(
            problems == ["demo.yaml:3:1: key 'text' stands here again; the first is in line 1: keep one of them"])
    }

    @Test func aMissingRequiredKeyNamesItsSection() {
        let (_, problems) = Self.read("people:\n  - name: a\n  - {}\n")
        #expect(
            problems == ["demo.yaml:3:5: required key 'name' is missing in 'people[1]': add 'name': text"])
    }

    @Test func aListWhereASectionBelongs() {
        let (_, problems) = Self.read("inner: [1]\npeople: 3\n")
        #expect(
            problems == [
                "demo.yaml:1:8: 'inner' expects a mapping, but a list stands here: write 'key: value' lines",
                "demo.yaml:2:9: 'people' expects a list of mappings, but '3' stands here: begin each entry with '- '",
            ])
    }

    @Test func anchorsAndMergeKeysWork() {
        let (all, problems) = Self.read(
            "x-base: &base { name: merged }\ninner: { <<: *base }\npeople: [*base, { <<: *base, name: own }]\n")
        #expect(problems.isEmpty)
        #expect(all.inner == "merged")
        #expect(all.people == ["merged", "own"])
    }

    @Test func brokenYAMLIsOneProblemWithItsPlace() {
        let (_, problems) = Self.read("text: a\ninner: { name: b\n")
        #expect(problems.count == 1)
        #expect(problems[0].hasPrefix("demo.yaml:"))
        #expect(problems[0].contains("not valid YAML"))
    }

    @Test func growthByAliasesIsBounded() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            text +=
                "a\(level): &a\(level) [" + [String](repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
                + "]\n"
        }
        let (_, problems) = Self.read(text)
        #expect(problems.count == 1)
        #expect(problems[0].contains("too many values"))
    }

    @Test func depthIsBounded() {
        let (_, problems) = Self.read(String(repeating: "[", count: 200_000))
        #expect(problems.count == 1)
    }

    @Test func problemsAreOneLineEachAndNotTooMany() {
        let (_, problems) = Self.read("number: |\n  a\n  b\n" + (1...500).map { "k\($0): 1\n" }.joined())
        #expect(problems[0].contains("'a\\nb\\n' stands here"))
        #expect(problems.count == 201)
        #expect(problems[200] == "demo.yaml: 301 more problems: mend these first")
    }

    @Test func files() {
        #expect(
            YAMLFile.decode(path: "/nonexistent/x.yaml") { _ in 1 }.problems.map(\.description) == [
                "/nonexistent/x.yaml: cannot be opened: No such file or directory: check the path and its permissions"
            ])
        #expect(YAMLFile.decode(path: "/tmp") { _ in 1 }.problems.count == 1)
        #expect(YAMLFile.decode(path: "/dev/zero") { _ in 1 }.problems.count == 1)
    }

    @Test(arguments: [
        ("0", 0), ("200us", 200), ("20ms", 20_000), ("0.5ms", 500), ("1 s", 1_000_000), ("5min", 300_000_000),
        ("2h", 7_200_000_000), ("1_000ms", 1_000_000),
    ]) func durations(_ text: String, _ microseconds: UInt64) {
        #expect(parseDuration(text) == microseconds)
        #expect(parseDuration(durationText(microseconds)) == microseconds)
    }

    @Test(arguments: [
        "", "5", "ms", "-1s", "1.s", "1..2s", "1e3s", "01s", "1 week", "99999999999999999999s", "9223372036854775807h",
        "1.٣s",
    ])
    func notDurations(_ text: String) {
        #expect(parseDuration(text) == nil)
    }

    /// Random damage to a good file: any answer will do, a crash will not.
    @Test(arguments: 0..<8) func damagedFilesNeverCrash(_ seed: UInt64) {
        let good = Array(
            """
            x: &x { a: [1, "b", 'c'] }
            text: "on" # comment
            inner: { <<: *x, name: |
              block
            people:
              - { name: ann }
              - name: >-
                  folded
            keys: { 1: a, 2: !!str b }
            ? complex
            : value
            """.utf8)
        let spice = Array("{}[]:,-?!&*|>'\"%@`# \n\t~<0a\u{e9}\u{0}".utf8)
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        for _ in 0..<2_000 {
            var bytes = good
            for _ in 0...random(6) {
                let at = random(bytes.count)
                switch random(4) {
                case 0: bytes.remove(at: at)
                case 1: bytes.insert(spice[random(spice.count)], at: at)
                case 2: bytes[at] = spice[random(spice.count)]
                default: bytes.removeSubrange(at..<min(bytes.count, at + random(20)))
                }
                if bytes.isEmpty { bytes = good }
            }
            _ = Self.read(String(decoding: bytes, as: UTF8.self))
        }
    }
}
