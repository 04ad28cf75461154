"""Flash arbitrage through two and three pools: exact integer maths, pool state, costs, signals.

constant_product, tick_math, concentrated   the contracts' own arithmetic
segments, cycle                             the best cycle over two or three legs
pool_state, kept_ticks, pool_book           the state of pools, kept right through reorgs and losses
book_strategy                               the base of strategies that need it
cycle_table                                which cycles are solved exactly (jitted)
legs, gas_rate, signal                      from pools to legs, from wei to tokens, from cycles to messages
live_signals                                which signals hold
flash_arbitrage                             the strategy
"""
