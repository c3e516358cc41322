/// The three highest numbers of copies that are known to have arrived. What was sent before all three of them and has not
/// arrived is lost (RFC 5681 section 3.2, RFC 9002 section 6.1.1).
struct Arrivals: Equatable, Sendable {
    /// The highest first; 0 for none.
    private var highest: (UInt64, UInt64, UInt64) = (0, 0, 0)

    mutating func note(_ order: UInt64) {
        guard order != highest.0, order != highest.1 else { return }
        if order > highest.0 {
            highest = (order, highest.0, highest.1)
        } else if order > highest.1 {
            highest = (highest.0, order, highest.1)
        } else {
            highest.2 = max(highest.2, order)
        }
    }

    func haveOvertaken(_ order: UInt64) -> Bool { order < highest.2 }

    static func == (left: Arrivals, right: Arrivals) -> Bool { left.highest == right.highest }
}
