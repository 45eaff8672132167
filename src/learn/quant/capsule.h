#pragma once
#include "quantnoise/quant/capsule.h"  // its public place
